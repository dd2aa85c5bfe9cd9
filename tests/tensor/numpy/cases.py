# cases.py FOLDER: makes arrays and what NumPy computes of them, the same every time: cases.txt, one case in a line, and
# files of many kinds. What the words of a line mean says compare.cpp.
import itertools
import os
import sys

import numpy as np

folder = sys.argv[1]
random = np.random.default_rng(20260101)
lines = []


def text(array):
    """Its rank, its shape and its elements."""
    array = np.asarray(array)
    values = (float(v).hex() if array.dtype.kind == "f" else str(int(v)) for v in array.ravel())
    return " ".join([str(array.ndim), *map(str, array.shape), *values])


def case(*words):
    lines.append(" ".join(w if isinstance(w, str) else text(w) for w in words))


def shape_of(rank, least=1, most=6):
    return tuple(int(n) for n in random.integers(least, most + 1, rank))


def reals(shape, special=False):
    a = random.uniform(-4, 4, shape)
    if special and a.size:
        flat = a.reshape(-1)
        flat[random.integers(a.size)] = random.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324])
    return a


def integers(shape):
    return random.integers(-1000, 1000, shape)


def broadcastable(rank_a, rank_b):
    """Two shapes that broadcast."""
    whole = shape_of(max(rank_a, rank_b), 1, 5)
    cut = lambda rank: tuple(n if random.random() < 0.7 else 1 for n in whole[len(whole) - rank :])
    return cut(rank_a), cut(rank_b)


np.seterr(all="ignore")

# Slices: i INDEX, a (all), r FIRST LAST STEP with - for a bound that is left out.
for rank in (1, 2, 3):
    for kinds in itertools.product("iar", repeat=rank):
        for _ in range(6 if rank < 3 else 5):
            a = integers(shape_of(rank))
            index, words = [], []
            for kind, extent in zip(kinds, a.shape):
                if kind == "i":
                    i = int(random.integers(-extent, extent))
                    index.append(i)
                    words.append("i %d" % i)
                elif kind == "a":
                    index.append(slice(None))
                    words.append("a")
                else:
                    bounds = [None if random.random() < 0.2 else int(random.integers(-extent - 2, extent + 3)) for _ in "12"]
                    step = int(random.choice([-3, -2, -1, 1, 2, 3]))
                    index.append(slice(*bounds, step))
                    words.append("r %s %s %d" % (*("-" if b is None else b for b in bounds), step))
            case("slice", a, *words, np.asarray(a[tuple(index)]))
            # ... and what is left when it is written to, with itself in reverse where that fits.
            b = a.copy()
            b[tuple(index)] = -7
            case("fill", a, *words, b)

# Two operands that broadcast.
arithmetic = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum}
for rank_a in range(4):
    for rank_b in range(4):
        a, b = broadcastable(rank_a, rank_b)
        for name, f in arithmetic.items():
            x, y = integers(a), integers(b)
            case("integers", name, x, y, f(x, y))
            x, y = reals(a, True), reals(b, True)
            case("reals", name, x, y, f(x, y))
        x, y = reals(a, True), reals(b, True)
        case("reals", "divide", x, y, np.divide(x, y))
        x, y = np.abs(reals(a)), reals(b)
        case("reals", "pow", x, y, np.power(x, y))
        x, y = integers(a) % 3, integers(b) % 3
        for name, f in {"less": np.less, "less_equal": np.less_equal, "equal": np.equal, "not_equal": np.not_equal}.items():
            case("compare", name, x, y, f(x, y))
        x, y = reals(a, True), reals(b, True)
        case("where", x, y, np.where(x < y, x, y))

# One operand. What is rounded in single precision is compared with more.
for rank in (1, 2, 3):
    for _ in range(6):
        a = reals(shape_of(rank), True)
        case("one", "exp", a, np.exp(a))
        case("one", "abs", a, np.abs(a))
        a = np.abs(a)
        case("one", "log", a, np.log(a))
        case("one", "sqrt", a, np.sqrt(a))
        a = (reals(shape_of(rank)) * 20).astype(np.float32)
        case("single", "exp", a, np.exp(a.astype(np.float64)))
        a = np.abs(a)
        case("single", "log", a, np.log(a.astype(np.float64)))

# Reductions over everything and over axes, with and without the dimensions that go.
axes = {1: [(0,)], 2: [(0,), (1,), (0, 1)], 3: [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]}
reductions = {"sum": np.sum, "max": np.max, "min": np.min, "mean": np.mean}
for rank in (1, 2, 3):
    for _ in range(3):
        shape = shape_of(rank, 1, 40 if rank < 3 else 9)
        for name, f in reductions.items():
            a = reals(shape, random.random() < 0.3)
            case("whole", name, a, f(a))
            for axis in axes[rank]:
                a = reals(shape, random.random() < 0.3)
                word = "".join(map(str, axis))
                case("reduce", name, word, a, f(a, axis=axis))
                case("keep", name, word, a, f(a, axis=axis, keepdims=True))
        for axis in axes[rank]:
            if len(axis) == 1:
                a = reals(shape, True)
                case("place", "argmax", str(axis[0]), a, np.argmax(a, axis=axis[0]))
                case("place", "argmin", str(axis[0]), a, np.argmin(a, axis=axis[0]))
                case("count", str(axis[0]), a, np.sum(a > 0, axis=axis[0]))

# Shapes.
for _ in range(12):
    a = integers(shape_of(3, 1, 5))
    for order in itertools.permutations(range(3)):
        case("permute", "%d %d %d" % order, a, a.transpose(order))
    case("reshape", "%d -1" % a.shape[0], a, a.reshape(a.shape[0], -1))
    case("reshape", "-1 %d" % a.shape[2], a, a.reshape(-1, a.shape[2]))
    a = integers(shape_of(2))
    diagonal = int(random.integers(-3, 4))
    case("tril", str(diagonal), a, np.tril(a, diagonal))
    b = integers((3, a.shape[1]))
    case("concatenate", "0", a, b, np.concatenate([a, b], 0))
    b = integers((a.shape[0], 2))
    case("concatenate", "1", a, b, np.concatenate([a, b], 1))
    a = integers((a.shape[0], 1))
    case("expand", "2 %d 4" % a.shape[0], a, np.broadcast_to(a, (2, a.shape[0], 4)))

with open(os.path.join(folder, "cases.txt"), "w") as file:
    file.write("\n".join(lines) + "\n")
assert len(lines) >= 500

# Files of every kind: NAME KIND RANK, and the elements as text.
with open(os.path.join(folder, "files.txt"), "w") as file:
    for kind in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"):
        for rank in range(4):
            for order in "CF":
                for byte_order in "<>":
                    shape = shape_of(rank, 0 if rank == 3 else 1, 5)
                    a = random.integers(0, 2 if kind == "b1" else 127, shape)
                    if kind[0] in "if":
                        a = -a
                    a = np.asarray(a).astype(byte_order + kind, order=order)
                    version = [(1, 0), (2, 0), (3, 0)][int(random.integers(3))]
                    name = "%s-%d-%s-%s.npy" % (kind, rank, order, "little" if byte_order == "<" else "big")
                    with open(os.path.join(folder, name), "wb") as npy:
                        np.lib.format.write_array(npy, a, version=version)
                    print(name, kind, text(a), file=file)
