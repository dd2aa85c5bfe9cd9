// A library that is loaded and unloaded while the program runs, and that of buffers with it.
#include <memory_resource>
#include <vector>
import buffers;

extern "C" [[gnu::visibility("default")]] int sum_in_plugin() {
  static buffers::concurrent_pool_resource pool;
  std::pmr::vector<int> kept(10, 1, &pool);
  return buffers::no_escape([&](auto& buffer) {
    std::pmr::vector<int> numbers(kept.begin(), kept.end(), &buffer);
    int sum = 0;
    for (int number : numbers) sum += number;
    return sum;
  });
}
