// Names of each module, used by an importer; those of buffers.tensor are tested in tests/tensor.
#include <cstddef>
#include <functional>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <span>
#include <vector>
import buffers;
import buffers.testing;

namespace {

int used = 0;
void use(auto&&...) { ++used; }

void core() {
  use(buffers::version.major, buffers::version_number{0, 1, 0}.minor);
  use(buffers::exhausted{3, 2, 1}.what(), buffers::order_error{"order"}.what());
  static_assert(buffers::byte_source<std::pmr::memory_resource>);
  static_assert(!buffers::checkpointable<std::pmr::memory_resource>);
}

void resources() {
  buffers::bump_resource bump{1024};
  buffers::slab_resource slab{buffers::slab_options{.first_slab = 1024}};
  buffers::pool_resource pool{buffers::pool_options{.first_chunk = 65536}};
  buffers::page_resource pages{buffers::page_options{}};
  const buffers::pool_stats stats = pool.stats();
  const buffers::pool_bucket* bucket = nullptr;
  const buffers::pool_counts& counts = stats;
  use(stats, bucket, counts);
  pages.deallocate(pages.allocate(1), 1);

  buffers::limit_resource limit{100, &slab};
  buffers::aligned_resource aligned{64, &slab};
  buffers::synchronized_resource synchronized{&slab};
  buffers::zeroing_resource zeroing{&slab};
  buffers::fallback_resource fallback{&bump, &slab};
  buffers::retry_resource retry{[] { return false; }, &slab};
  use(limit, aligned, synchronized, zeroing, fallback, retry);

  static_assert(buffers::escapes<int*> && !buffers::escapes<int>);
  std::vector<int, buffers::allocator<int, buffers::slab_resource>> ids({1, 2}, slab);
  buffers::scope inner{slab};
  use(ids, inner, buffers::no_escape(slab, [](auto& buffer) { return buffer.used(); }));
}

void threads() {
  static_assert(buffers::thread_buffer<buffers::slab_resource>);
  buffers::thread_resource<> each{buffers::thread_options<buffers::slab_resource>{}};
  buffers::concurrent_pool_resource shared;
  buffers::slab_resource other;
  use(each.local(), shared.used(), buffers::default_buffer());
  buffers::with_default(other, [] { use(buffers::default_buffer()); });
}

void tensor() {
  buffers::bump_resource buffer{4096};
  auto a = buffers::alloc<double>(buffer, buffers::alignment{64}, 2, 3);
  use(buffers::alloc_bytes(buffer, 10), buffers::alloc_span<int>(buffer, 10), buffers::is_contiguous(a),
      buffers::neuralyze(a));
  buffers::drop(buffer, a);
  buffer.reset();
  use(buffers::reshape_buffer<double>(buffer, 2, 3));
  buffer.reset();
  use(buffers::reshape_buffer_at<double>(buffer, 2, 3));
}

void testing() {
  buffers::test_resource watched;
  use(watched.is_clean(), buffers::exception_test_loop([](std::pmr::memory_resource&) {}));
}

}  // namespace

int every_export() {
  core();
  resources();
  threads();
  tensor();
  testing();
  return used;
}
