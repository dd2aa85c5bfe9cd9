# Orders as JSON, about 4 MB of it:
#
#   orders.py make FILE     makes them, the same every time
#   orders.py use FILE      reads, aggregates and writes them, which is what is recorded
import json
import sys


def make():
    import random

    random.seed(1)
    return [
        {
            "id": i,
            "customer": "customer %d" % random.randrange(500),
            "tags": ["tag%d" % random.randrange(10000) for _ in range(random.randrange(4))],
            "lines": [
                {"article": "article-%05d" % random.randrange(20000), "count": random.randrange(1, 9), "price": random.random() * 100}
                for _ in range(random.randrange(1, 6))
            ],
            "note": "x" * random.randrange(2000) if random.random() < 0.6 else None,
        }
        for i in range(4500)
    ]


def use(text):
    orders = json.loads(text)
    totals, articles = {}, {}
    for order in orders:
        for line in order["lines"]:
            value = line["count"] * line["price"]
            totals[order["customer"]] = totals.get(order["customer"], 0) + value
            articles.setdefault(line["article"], []).append((value, order["id"]))
    best = sorted(totals.items(), key=lambda item: -item[1])
    ranked = {article: sorted(sales)[-3:] for article, sales in articles.items()}
    return best[0], len(json.dumps({"orders": orders, "articles": ranked}))


if sys.argv[1] == "make":
    with open(sys.argv[2], "w") as file:
        json.dump(make(), file)
else:
    with open(sys.argv[2]) as file:
        print(use(file.read()))
