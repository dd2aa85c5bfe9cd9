#include <memory_resource>
#include <vector>
import buffers.resources;

int main() {
  buffers::bump_resource buffer{4096};
  std::pmr::vector<int> numbers(100, 1, &buffer);
  return buffer.used() == 400 ? 0 : 1;
}
