// What the tests and the documentation of Tenzor's memory state, P1 to P6 of its pool, A1 to A5 of its allocators and
// D1 to D3 of its documents, S1 to S7 of its strides, its tensors and its shapes, with our outcome. Its pool takes any buffer; ours takes its own blocks, so that each has
// the size and alignment that it says.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <set>
#include <span>
#include <stdexcept>
#include <vector>
import buffers;
import buffers.testing;

using buffers::all;
using buffers::alloc;
using buffers::axes;
using buffers::broadcast_shapes;
using buffers::broadcast_strides;
using buffers::column_major;
using buffers::flat_offset;
using buffers::full;
using buffers::keepdims;
using buffers::memory_span;
using buffers::numel;
using buffers::ones;
using buffers::pool_resource;
using buffers::row_major;
using buffers::slab_resource;
using buffers::unflatten;
using buffers::zeros;

namespace {

constexpr std::size_t mib = 1024 * 1024;

/// The compute arena of the original: 64 KiB, and what does not fit has memory of its own.
constexpr buffers::slab_options arena_of_64_kib{.first_slab = 64 * 1024, .growth = 1, .largest_slab = 64 * 1024};

double hit_rate(const buffers::pool_counts& c) {
  return static_cast<double>(c.hits) / static_cast<double>(c.hits + c.misses);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tenzor)

BOOST_AUTO_TEST_CASE(P1_what_was_put_comes_back_once) {
  pool_resource pool;
  BOOST_TEST(pool.try_get(64).empty());
  const std::span<std::byte> buffer = pool.get(64);  // the original puts any 64 bytes
  pool.put(buffer);
  const std::span<std::byte> again = pool.try_get(64);
  BOOST_TEST(again.data() == buffer.data());
  BOOST_TEST(again.size() == 64u);
  BOOST_TEST(pool.try_get(64).empty());
  std::array<std::byte, 64> any;
  BOOST_CHECK_THROW(pool.put(any), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(P2_a_buffer_of_128) {
  pool_resource pool;
  pool.put(pool.get(128));
  BOOST_TEST(pool.try_get(128).size() == 128u);
  // The original hands a buffer of 65 bytes out for 128: here each has its bucket's full size.
  pool.put(pool.get(65));
  BOOST_TEST(pool.try_get(128).size() == 128u);
}

BOOST_AUTO_TEST_CASE(P3_hits_and_misses) {
  pool_resource pool;
  BOOST_TEST(pool.try_get(64).empty());
  BOOST_TEST(pool.stats().hits == 0u);
  BOOST_TEST(pool.stats().misses == 1u);
  const std::span<std::byte> buffer = pool.get(64);  // fresh, and so a miss too
  pool.put(buffer);
  BOOST_TEST(!pool.try_get(64).empty());
  BOOST_TEST(pool.stats().hits == 1u);
  BOOST_TEST(pool.stats().misses == 2u);
}

// Eight in the original, which frees what is above eight buffers to a bucket, be they of 64 bytes or of 64 MiB. Here a
// bucket has no such limit; `spare` bounds the bytes that are kept.
BOOST_AUTO_TEST_CASE(P4_all_ten_come_back) {
  pool_resource pool;
  std::vector<std::span<std::byte>> buffers;
  for (int i = 0; i < 10; ++i) buffers.push_back(pool.get(64));
  for (std::span<std::byte> buffer : buffers) pool.put(buffer);
  std::set<std::byte*> back;
  for (std::span<std::byte> buffer; !(buffer = pool.try_get(64)).empty();) back.insert(buffer.data());
  BOOST_TEST(back.size() == 10u);
}

// Of the two meanings that the original has for clear: its code frees what is pooled, as trim(0) does here, and its
// documents take all buffers back, as clear() does here.
BOOST_AUTO_TEST_CASE(P5_the_pooled_bytes) {
  buffers::test_resource upstream;
  pool_resource pool{{}, &upstream};
  pool.put(pool.get(64));
  BOOST_TEST(pool.stats().free_bytes == 64u);
  (void)pool.trim(0);
  BOOST_TEST(pool.stats().free_bytes == 0u);
  BOOST_TEST(upstream.is_clean());
  (void)pool.get(64);
  pool.clear();
  BOOST_TEST(pool.stats().free_bytes == 64u);
  BOOST_TEST(pool.stats().live == 0u);
}

// Nothing in the original. Here one byte comes from the smallest bucket; the largest one has 128 MiB, and above that
// upstream is asked, so that get() always gives what it says.
BOOST_AUTO_TEST_CASE(P6_sizes_outside_of_the_buckets) {
  pool_resource pool;
  BOOST_TEST(pool.try_get(1).empty());
  const std::span<std::byte> least = pool.get(1);
  BOOST_TEST(least.size() == 64u);
  pool.put(least);
  BOOST_TEST(pool.try_get(1).data() == least.data());
  BOOST_TEST(pool.try_get(64 * mib + 1).empty());
  const std::span<std::byte> above = pool.get(64 * mib + 1);
  BOOST_TEST(above.size() == 128 * mib);
  BOOST_TEST(pool.try_get(128 * mib + 1).empty());
  const std::span<std::byte> own = pool.get(128 * mib + 1);
  BOOST_TEST(own.size() == 128 * mib + 1);
  BOOST_TEST(pool.stats().oversize == 1u);
  pool.put(own);
  pool.put(above);
}

BOOST_AUTO_TEST_CASE(A1_freed_and_allocated_again) {
  pool_resource pool;
  std::pmr::polymorphic_allocator<float> floats{&pool};
  floats.deallocate(floats.allocate(16), 16);
  floats.deallocate(floats.allocate(16), 16);
  BOOST_TEST(pool.stats().hits + pool.stats().misses == 2u);
  BOOST_TEST(pool.stats().hits == 1u);
  BOOST_TEST(pool.stats().live == 0u);
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(A2_the_same_through_a_container) {
  pool_resource pool;
  for (int i = 0; i < 2; ++i) std::pmr::vector<float>(16, &pool);
  for (int i = 0; i < 2; ++i) {
    buffers::allocator<float, pool_resource> floats{pool};
    floats.deallocate(floats.allocate(16), 16);
  }
  BOOST_TEST(pool.stats().hits == 3u);
  BOOST_TEST(pool.stats().misses == 1u);
}

BOOST_AUTO_TEST_CASE(A3_an_arena) {
  slab_resource arena{arena_of_64_kib};
  const auto a = alloc<float>(arena, 16);
  const auto b = alloc<float>(arena, 16);
  BOOST_TEST(a.data_handle() != b.data_handle());
  BOOST_TEST(arena.used() == 128u);
  arena.reset();
  BOOST_TEST(arena.used() == 0u);
}

// The original's block is freed by reset() and allocated again each time; here it is kept.
BOOST_AUTO_TEST_CASE(A4_a_block_larger_than_the_arena) {
  buffers::test_resource upstream;
  slab_resource arena{arena_of_64_kib, &upstream};
  (void)arena.allocate(16);
  const auto large = buffers::alloc_bytes(arena, 65'536 + 1000);
  BOOST_TEST(large.size() == 66'536u);
  BOOST_TEST(upstream.live_blocks() == 2u);  // one slab, one block of its own
  BOOST_TEST(arena.used() == 66'552u);
  arena.reset();
  const std::size_t calls = upstream.allocations();
  for (int i = 0; i < 10; ++i) {
    (void)arena.allocate(16);
    (void)buffers::alloc_bytes(arena, 65'536 + 1000);
    arena.reset();
  }
  BOOST_TEST(upstream.allocations() <= calls + 1);
}

// Nothing happens in the original. Here the newest block comes back at once, and any other when those after it are
// gone.
BOOST_AUTO_TEST_CASE(A5_freeing_in_an_arena) {
  slab_resource arena{arena_of_64_kib};
  std::pmr::polymorphic_allocator<float> floats{&arena};
  float* const a = floats.allocate(16);
  float* const b = floats.allocate(16);
  floats.deallocate(a, 16);
  BOOST_TEST(arena.used() == 128u);
  floats.deallocate(b, 16);
  BOOST_TEST(arena.used() == 64u);
}

BOOST_AUTO_TEST_CASE(D1_a_thousand_times_is_one_real_allocation) {
  buffers::test_resource upstream;
  pool_resource pool{{}, &upstream};
  std::pmr::polymorphic_allocator<float> floats{&pool};
  for (int i = 0; i < 1000; ++i) floats.deallocate(floats.allocate(256), 256);
  BOOST_TEST(upstream.allocations() == 1u);
  BOOST_TEST(pool.stats().misses == 1u);
  BOOST_TEST(pool.stats().hits == 999u);
  BOOST_TEST(hit_rate(pool.stats()) == 0.999);
}

BOOST_AUTO_TEST_CASE(D2_the_same_memory_again) {
  pool_resource pool;
  std::pmr::polymorphic_allocator<float> floats{&pool};
  float* const first = floats.allocate(256);
  floats.deallocate(first, 256);
  BOOST_TEST(floats.allocate(256) == first);
}

BOOST_AUTO_TEST_CASE(D3_an_arenas_arrays_are_freed_together) {
  buffers::test_resource upstream;
  {
    slab_resource arena{{}, &upstream};
    for (std::size_t count : {1000uz, 2000uz, 3000uz}) BOOST_TEST(alloc<float>(arena, count).size() == count);
    BOOST_TEST(arena.used() == 24'000u);
    arena.reset();
    BOOST_TEST(arena.used() == 0u);
  }
  BOOST_TEST(upstream.is_clean());
}

// Strides and shapes.

BOOST_AUTO_TEST_CASE(S1_strides_of_rows_and_of_columns) {
  constexpr std::array<std::size_t, 3> shape{2, 3, 4};
  BOOST_TEST((row_major(shape) == std::array<std::ptrdiff_t, 3>{12, 4, 1}));
  BOOST_TEST((column_major(shape) == std::array<std::ptrdiff_t, 3>{1, 2, 6}));
  BOOST_TEST((zeros<float>(shape).strides() == row_major(shape)));
}

BOOST_AUTO_TEST_CASE(S2_flat_offset) {
  static_assert(flat_offset<3>({1, 2, 3}, {12, 4, 1}) == 23);
  static_assert(flat_offset<3>({1, 2, 0}, {12, 4, 1}) == 20);  // as the document on memory layout has it
  const auto t = zeros<int>({2, 3, 4});
  BOOST_TEST((&t[1, 2, 3] - t.data()) == 23);
}

BOOST_AUTO_TEST_CASE(S3_unflatten) { BOOST_TEST((unflatten<3>(23, {2, 3, 4}) == std::array<std::size_t, 3>{1, 2, 3})); }

BOOST_AUTO_TEST_CASE(S4_strides_of_repeated_elements) {
  BOOST_TEST((broadcast_strides<2, 2>({1, 4}, {4, 1}, {3, 4}) == std::array<std::ptrdiff_t, 2>{0, 1}));
  BOOST_TEST((broadcast_strides<1, 2>({4}, {1}, {3, 4}) == std::array<std::ptrdiff_t, 2>{0, 1}));
}

BOOST_AUTO_TEST_CASE(S5_contiguous) {
  float memory[24];
  BOOST_TEST((buffers::tensor_view<float, 3>(memory, {2, 3, 4}, {12, 4, 1}).is_contiguous()));
  BOOST_TEST((!buffers::tensor_view<float, 2>(memory, {3, 4}, {1, 3}).is_contiguous()));
  BOOST_TEST((buffers::tensor_view<float, 3>(memory, {2, 1, 4}, {4, 4, 1}).is_contiguous()));
}

BOOST_AUTO_TEST_CASE(S6_memory_span) {
  static_assert(memory_span<3>({2, 3, 4}, {12, 4, 1}) == 24);
  static_assert(memory_span<2>({2, 3}, {10, 1}) == 13);
  static_assert(memory_span<0>({}, {}) == 1);
}

BOOST_AUTO_TEST_CASE(S7_iteration) {
  int memory[6] = {0, 1, 2, 3, 4, 5};
  const buffers::tensor_view<int, 2> view(memory, {2, 3}, {3, 1});
  BOOST_TEST((std::vector<int>(view.begin(), view.end()) == std::vector<int>{0, 1, 2, 3, 4, 5}));
}

BOOST_AUTO_TEST_CASE(its_tensors) {
  BOOST_TEST((sum(zeros<float>({2, 3})) == 0.0f && sum(ones<float>({2, 3})) == 6.0f));
  BOOST_TEST(all(full<float>({10}, 42) == 42.0f));
  BOOST_TEST((all(full<int>({3}, 42) == 42) && all(full<unsigned char>({3}, 255) == 255) && all(zeros<double>({3}) == 0.0)));
  std::array<float, 4> numbers{1, 2, 3, 4};
  buffers::tensor_view from_slice(std::span<float>{numbers});
  BOOST_TEST(from_slice[3] == 4.0f);
  BOOST_CHECK_THROW((void)reshape(from_slice, {3, 2}), std::invalid_argument);
  auto t = zeros<float>({2, 3});
  t[0, 0] = 1;
  t[0, 1] = 2;
  t[1, 2] = 3;
  BOOST_TEST((t[0, 0] == 1 && t[0, 1] == 2 && t[1, 2] == 3 && t[1, 0] == 0));
  BOOST_TEST((t.data()[0] == 1 && t.data()[5] == 3));
  auto clone = t.copy();
  clone[0, 0] = 100;
  BOOST_TEST((t[0, 0]) == 1);
  const auto cube = zeros<float>({4, 5, 6});
  BOOST_TEST((cube.rank == 3 && cube.numel() == 120u));
  BOOST_TEST((zeros<float>({}).rank == 0 && zeros<float>({}).numel() == 1u));
}

BOOST_AUTO_TEST_CASE(its_shapes) {
  BOOST_TEST(numel(std::array<std::size_t, 3>{2, 3, 4}) == 24u);
  BOOST_TEST((broadcast_shapes<2, 2>({3, 1}, {1, 4}) == std::array<std::size_t, 2>{3, 4}));
  BOOST_TEST((broadcast_shapes<1, 2>({4}, {3, 4}) == std::array<std::size_t, 2>{3, 4}));
  BOOST_TEST((broadcast_shapes<0, 2>({}, {3, 4}) == std::array<std::size_t, 2>{3, 4}));
  BOOST_CHECK_THROW(((void)broadcast_shapes<2, 2>({3, 4}, {3, 5})), std::invalid_argument);
  auto t = zeros<int>({2, 3, 4});
  BOOST_TEST((sum(t, axes<1>).shape() == std::array<std::size_t, 2>{2, 4}));
  BOOST_TEST((sum(t, axes<1>, keepdims).shape() == std::array<std::size_t, 3>{2, 1, 4}));
  BOOST_TEST(sum(t) == 0);
  BOOST_TEST((permute(t, {2, 0, 1}).shape() == std::array<std::size_t, 3>{4, 2, 3}));
  BOOST_TEST((reshape(t, {6, 4}).shape() == std::array<std::size_t, 2>{6, 4}));
  BOOST_TEST((reshape(t, {24}).shape() == std::array<std::size_t, 1>{24}));
  BOOST_TEST((reshape(t, {-1, 4}).shape() == std::array<std::size_t, 2>{6, 4}));
}

BOOST_AUTO_TEST_SUITE_END()
