#include <memory_resource>
#include <vector>
import buffers.testing;

int main() {
  const auto runs = buffers::exception_test_loop([](std::pmr::memory_resource& memory) {
    std::pmr::vector<int> numbers(&memory);
    numbers.push_back(1);
    numbers.push_back(2);
  });
  return runs == 3 ? 0 : 1;
}
