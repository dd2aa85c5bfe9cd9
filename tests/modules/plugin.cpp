// A library that is loaded and unloaded while the program runs, with the library of buffers in it.
#include <memory_resource>
#include <vector>
import buffers;

extern "C" int sum_in_plugin() {
  static buffers::concurrent_pool_resource pool;
  std::pmr::vector<int> kept(10, 1, &pool);
  return buffers::no_escape([&](auto& buffer) {
    std::pmr::vector<int> numbers(kept.begin(), kept.end(), &buffer);
    int sum = 0;
    for (int number : numbers) sum += number;
    return sum;
  });
}
