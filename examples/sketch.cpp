#include <memory_resource>
#include <vector>
#include <print>
#include <mdspan>
#include <string>
import buffers;
int main() {
  buffers::slab_resource scratch;
  std::pmr::vector<int> ids{{1, 2, 3}, &scratch};
  auto a = buffers::alloc<double>(scratch, 10, 20);
  std::println("{} {}", scratch.used(), a.size());
  {
    buffers::scope inner{scratch};
    auto b = buffers::alloc<double>(scratch, 20, 5);
    std::println("{} {}", scratch.used(), b.size());
  }
  std::println("{} {}", scratch.used(), scratch.peak());
  buffers::bump_resource b{100};
  int s = buffers::no_escape(b, [](auto& buf) { auto v = buffers::alloc<int>(buf, 3); v[0] = 9; return v[0]; });
  try { (void)b.allocate(200); } catch (const buffers::exhausted& e) { std::println("{} {}", e.what(), s); }
  std::println("{}", buffers::no_escape([](auto& buf) { return buf.used(); }));
}
