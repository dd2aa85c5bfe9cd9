// In a library of its own, which knows the same modules as the program that it is linked into.
#include <memory_resource>
#include <vector>
import buffers;

int sum_in_library(buffers::slab_resource& buffer) {
  buffers::scope inner{buffer};
  std::pmr::vector<int> numbers(100, 1, &buffer);
  int sum = 0;
  for (int number : numbers) sum += number;
  return sum;
}

buffers::slab_resource* default_in_library() { return &buffers::default_buffer(); }
