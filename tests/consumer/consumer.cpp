#include <cstdio>
#include <mdspan>
#include <memory_resource>
#include <new>
#include <vector>
import buffers;

int main() {
  buffers::slab_resource scratch;
  std::pmr::vector<int> ids{{1, 2, 3}, &scratch};
  auto a = buffers::alloc<double>(scratch, 10, 20);
  a[9, 19] = 5;
  const auto sum =
      buffers::no_escape([&](auto& buffer) { return buffers::alloc<int>(buffer, 100).size() + ids.size(); });
  try {
    (void)buffers::bump_resource{64}.allocate(65);
    return 1;
  } catch (const buffers::exhausted& e) {  // thrown in the library, caught by its type here
    std::printf("%s; %zu; %d.%d.%d\n", e.what(), sum, buffers::version.major, buffers::version.minor,
                buffers::version.patch);
  }
  return sum == 103 && a[9, 19] == 5 ? 0 : 1;
}
