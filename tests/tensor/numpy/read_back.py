# read_back.py FOLDER: whether NumPy reads the files that compare.cpp has written of those that cases.py has made: name
# for name, beginning with "ours-" in the order of the memory and with "view-" reversed in every dimension.
import os
import sys

import numpy as np

folder = sys.argv[1]
read = 0
with open(os.path.join(folder, "files.txt")) as file:
    for line in file:
        name = line.split()[0]
        wanted = np.load(os.path.join(folder, name))
        for prefix, elements in (("ours-", wanted), ("view-", np.flip(wanted))):
            path = os.path.join(folder, prefix + name)
            for mmap_mode in (None, "r") if wanted.size else (None,):
                got = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
                assert got.dtype == wanted.dtype.newbyteorder("="), (path, got.dtype)
                assert got.shape == wanted.shape and np.array_equal(got, elements), path
                read += 1
print("NumPy reads", read, "files of ours")
assert read > 300
