#!/usr/bin/env bash
# Records what real programs allocate, where it has not been recorded yet; a program that this machine does not have is
# left out.
#
#   benchmarks/traces/record.sh BUFFERS-TRACE FOLDER
set -euo pipefail
buffers_trace=$(realpath "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$2"
cd "$2"

# is_there NAME: in the present format, and whole.
is_there() { "$buffers_trace" info "$1.trace" > /dev/null 2>&1; }

# record NAME COMMAND...: in an environment that is the same everywhere.
record() {
  local name=$1
  shift
  is_there "$name" && return
  command -v "$1" > /dev/null || { echo "no $1 to record" >&2; return; }
  env -i PATH=/usr/bin:/bin LC_ALL=C PYTHONHASHSEED=0 PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 PERL_HASH_SEED=0 \
    "$buffers_trace" record -o "$name.trace" -- "$@" > /dev/null
}

# 95 000 rows in tables in memory, with indexes, groups and joins.
orders_sql() {
  awk 'function random(n) { seed = (seed * 16807) % 2147483647; return seed % n }
    BEGIN {
      seed = 1
      print "create table customers(id integer primary key, name text, town text);"
      print "create table orders(id integer primary key, customer integer, article text, price real, note text);"
      print "begin;"
      for (i = 0; i < 5000; i++) {
        if (i % 50 == 0) printf "insert into customers values"
        printf "(%d, '\''customer %d'\'', '\''town %d'\'')%s", i, random(100000), random(300), i % 50 == 49 ? ";\n" : ", "
      }
      for (i = 0; i < 45000; i++) {
        note = ""
        for (j = random(8); j > 0; j--) note = note " word" random(1000)
        if (i % 50 == 0) printf "insert into orders values"
        printf "(%d, %d, '\''article %d'\'', %d.5, '\''%s'\'')%s", i, random(5000), random(2000), random(500), note, i % 50 == 49 ? ";\n" : ", "
      }
      print "insert into orders select id + 45000, customer * 7 % 5000, article, price + 1, note || '\'' again'\'' from orders;"
      print "commit;"
      print "create index by_customer on orders(customer);"
      print "create index by_article on orders(article, price);"
      print "select town, count(*), sum(price) from orders join customers on customer = customers.id group by town order by 3 desc;"
      print "select article, group_concat(note, '\'';'\'') from orders group by article order by max(price), article;"
      print "select a.name, max(o.price) from customers a join orders o on o.customer = a.id where o.note like '\''%word7%'\'' group by a.name;"
      print "delete from orders where price < 100;"
      print "select count(distinct note) from orders;"
    }'
}

python=/usr/bin/python3
is_there python || [ ! -x $python ] || $python "$here/orders.py" make orders.json
record python $python -S -s "$here/orders.py" use orders.json
rm -f orders.json
record clang clang++-22 -stdlib=libc++ -std=c++23 -fsyntax-only "$here/headers.cpp"
is_there sqlite || orders_sql > orders.sql
record sqlite sqlite3 -init orders.sql :memory: .quit
rm -f orders.sql
record perl perl "$here/words.pl"
