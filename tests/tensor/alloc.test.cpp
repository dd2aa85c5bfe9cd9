#include <algorithm>
#include <array>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mdspan>
#include <memory_resource>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
import buffers;
import buffers.testing;

using buffers::alignment;
using buffers::alloc;
using buffers::bump_resource;
using buffers::slab_resource;

namespace {

bool is_aligned(const void* p, std::size_t to) { return reinterpret_cast<std::uintptr_t>(p) % to == 0; }

}  // namespace

BOOST_AUTO_TEST_SUITE(allocs)

BOOST_AUTO_TEST_CASE(arrays_of_any_rank) {
  slab_resource buffer;
  const auto a = alloc<double>(buffer, 10, 20);
  static_assert(std::is_same_v<decltype(a), const std::mdspan<double, std::dextents<std::size_t, 2>>>);
  BOOST_TEST(a.extent(0) == 10u);
  BOOST_TEST(a.extent(1) == 20u);
  BOOST_TEST(buffer.used() == 1600u);
  const auto b = alloc<std::int8_t>(buffer, 2, 3, 4, 5);
  BOOST_TEST(b.size() == 120u);
  BOOST_TEST(buffer.used() == 1720u);
}

BOOST_AUTO_TEST_CASE(rank_0_has_one_element) {
  slab_resource buffer;
  const auto one = alloc<double>(buffer);
  static_assert(decltype(one)::rank() == 0);
  one[] = 3.5;
  BOOST_TEST(one[] == 3.5);
  BOOST_TEST(one.size() == 1u);
  BOOST_TEST(buffer.used() == 8u);
}

BOOST_AUTO_TEST_CASE(a_dim_of_0_takes_nothing) {
  bump_resource buffer{16};
  (void)buffer.allocate(16);
  const auto a = alloc<double>(buffer, 0);
  const auto b = alloc<double>(buffer, 3, 0, 4);
  const auto c = alloc<double>(buffer, std::numeric_limits<std::size_t>::max(), 0);
  BOOST_TEST(a.empty());
  BOOST_TEST(b.empty());
  BOOST_TEST(b.extent(2) == 4u);
  BOOST_TEST(c.empty());
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE(negative_dims) {
  slab_resource buffer;
  BOOST_CHECK_THROW((void)alloc<double>(buffer, -1), std::invalid_argument);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, 3, -2), std::invalid_argument);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, 0, -2), std::invalid_argument);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, alignment{64}, -1), std::invalid_argument);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, std::dextents<int, 2>(0, -1)), std::invalid_argument);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(shapes_that_overflow) {
  slab_resource buffer;
  constexpr std::size_t large = std::size_t{1} << 32;
  BOOST_CHECK_THROW((void)alloc<char>(buffer, large, large), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)alloc<char>(buffer, large, large, large), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, std::size_t{1} << 60), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, std::extents<std::size_t, 1ul << 31, 1ul << 31>{}),
                    std::bad_array_new_length);
  BOOST_TEST(buffer.capacity() == 0u);
}

BOOST_AUTO_TEST_CASE(extents) {
  slab_resource buffer;
  const auto fixed = alloc<double>(buffer, std::extents<std::size_t, 3, 3>{});
  static_assert(decltype(fixed)::static_extent(0) == 3);
  BOOST_TEST(buffer.used() == 72u);
  const auto partly = alloc<float>(buffer, std::extents<int, 2, std::dynamic_extent>(5));
  BOOST_TEST(partly.extent(1) == 5);
  BOOST_TEST(buffer.used() == 80u + 40);
}

BOOST_AUTO_TEST_CASE(column_by_column) {
  slab_resource buffer;
  const auto a = alloc<double, std::layout_left>(buffer, 10, 20);
  BOOST_TEST((&a[1, 0] - &a[0, 0]) == 1);
  BOOST_TEST((&a[0, 1] - &a[0, 0]) == 10);
  const auto b = alloc<double, std::layout_left>(buffer, alignment{128}, std::extents<std::size_t, 2, 2>{});
  BOOST_TEST(is_aligned(b.data_handle(), 128));
  BOOST_TEST((&b[1, 0] - &b[0, 0]) == 1);
}

BOOST_AUTO_TEST_CASE(row_by_row) {
  slab_resource buffer;
  const auto a = alloc<double>(buffer, 10, 20);
  BOOST_TEST((&a[1, 0] - &a[0, 0]) == 20);
  BOOST_TEST((&a[0, 1] - &a[0, 0]) == 1);
}

BOOST_AUTO_TEST_CASE(aligned) {
  slab_resource buffer;
  for (std::size_t bytes : {1uz, 16uz, 64uz, 256uz, 4096uz}) {
    (void)buffer.allocate(1);
    BOOST_TEST(is_aligned(alloc<float>(buffer, alignment{bytes}, 10, 20).data_handle(), bytes));
    BOOST_TEST(is_aligned(alloc<float>(buffer, alignment{bytes}).data_handle(), bytes));
  }
  struct alignas(64) wide {
    char c;
  };
  BOOST_TEST(is_aligned(alloc<wide>(buffer, 2).data_handle(), 64));
  BOOST_TEST(is_aligned(alloc<wide>(buffer, alignment{1}, 2).data_handle(), 64));
}

BOOST_AUTO_TEST_CASE(alignments_that_are_none) {
  slab_resource buffer;
  for (std::size_t bytes : {0uz, 3uz, 12uz}) {
    BOOST_CHECK_THROW((void)alloc<float>(buffer, alignment{bytes}, 10), std::invalid_argument);
    BOOST_CHECK_THROW((void)alloc<float>(buffer, alignment{bytes}, 0), std::invalid_argument);
    BOOST_CHECK_THROW((void)alloc<float>(buffer, alignment{bytes}, std::extents<int, 2>{}), std::invalid_argument);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(all_elements_are_ours) {
  bump_resource buffer{(6 + 10) * sizeof(std::complex<double>)};
  const auto a = alloc<std::complex<double>>(buffer, 2, 3);
  const auto b = alloc<std::complex<double>>(buffer, 10);
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 3; ++j) a[i, j] = {1.0, 2.0};
  for (std::size_t i = 0; i < 10; ++i) b[i] = 3.0;
  BOOST_CHECK((a[1, 2] == std::complex<double>(1.0, 2.0)));
  BOOST_CHECK_THROW((void)alloc<char>(buffer, 1), buffers::exhausted);
}

BOOST_AUTO_TEST_CASE(bytes) {
  bump_resource buffer{100};
  const std::span<std::byte> some = buffers::alloc_bytes(buffer, 30);
  BOOST_TEST(some.size() == 30u);
  BOOST_TEST(is_aligned(some.data(), alignof(std::max_align_t)));
  BOOST_TEST(buffers::alloc_bytes(buffer, 0).empty());
  BOOST_TEST(buffers::alloc_bytes(buffer, 68).size() == 68u);
  BOOST_TEST(buffer.used() == 100u);
  BOOST_CHECK_THROW((void)buffers::alloc_bytes(buffer, 1), buffers::exhausted);
  BOOST_CHECK_THROW((void)buffers::alloc_bytes(buffer, -1), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(spans) {
  buffers::test_resource memory;
  const std::span<double> some = buffers::alloc_span<double>(memory, 5);
  std::ranges::fill(some, 2.0);
  BOOST_TEST(memory.last_bytes() == 40u);
  BOOST_TEST(memory.last_alignment() == alignof(double));
  const std::span<std::byte> bytes = buffers::alloc_span<std::byte>(memory, 3u);
  BOOST_TEST(memory.last_alignment() == alignof(std::max_align_t));
  const std::span<int> none = buffers::alloc_span<int>(memory, 0);
  BOOST_TEST(none.empty());
  BOOST_CHECK_THROW((void)buffers::alloc_span<int>(memory, -1), std::invalid_argument);
  BOOST_CHECK_THROW((void)buffers::alloc_span<int>(memory, SIZE_MAX / 2), std::bad_array_new_length);
  buffers::drop(memory, bytes, some, none);
  BOOST_TEST(memory.is_clean(), memory.first_mistake());
  bump_resource buffer{100};
  const std::span<short> first = buffers::alloc_span<short>(buffer, 8), second = buffers::alloc_span<short>(buffer, 8);
  buffers::drop(buffer, first, second);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(from_any_memory_resource) {
  buffers::test_resource memory;
  const auto a = alloc<double>(memory, alignment{64}, 3, 4);
  BOOST_TEST(memory.last_bytes() == 96u);
  BOOST_TEST(memory.last_alignment() == 64u);
  memory.deallocate(a.data_handle(), 96, 64);
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_SUITE_END()
