#include <cstdio>
#include <cstring>
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
  bool caught = false;
  try {
    (void)buffers::bump_resource{64}.allocate(65);
  } catch (const buffers::exhausted& e) {  // thrown in the library, caught by its type here
    caught = e.requested() == 65 && std::strstr(e.what(), "65 bytes requested");
  }
  char version[32];
  std::snprintf(version, sizeof version, "%d.%d.%d", buffers::version.major, buffers::version.minor,
                buffers::version.patch);
  std::printf("C++ %ld, buffers %s\n", __cplusplus, version);
  return sum == 103 && a[9, 19] == 5 && caught && std::strcmp(version, EXPECTED_VERSION) == 0 ? 0 : 1;
}
