#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <mdspan>
#include <new>
#include <span>
#include <stdexcept>
import buffers;
import buffers.testing;

using buffers::alloc;
using buffers::bump_resource;
using buffers::order_error;
using buffers::reshape_buffer;
using buffers::reshape_buffer_at;
using buffers::slab_resource;

using resources = boost::mpl::list<bump_resource, slab_resource>;

BOOST_AUTO_TEST_SUITE(reshapes)

BOOST_AUTO_TEST_CASE_TEMPLATE(see_the_same_memory, R, resources) {
  R buffer;
  const auto row = reshape_buffer<int>(buffer, 12);
  for (int i = 0; i < 12; ++i) row[static_cast<std::size_t>(i)] = i;
  const auto table = reshape_buffer<int>(buffer, 3, 4);
  BOOST_TEST(table.data_handle() == row.data_handle());
  BOOST_TEST((table[2, 3]) == 11);
  const auto columns = reshape_buffer<int, std::layout_left>(buffer, 3, 4);
  BOOST_TEST((columns[2, 3]) == 11);
  BOOST_TEST((columns[1, 0]) == 1);
  BOOST_TEST((table[1, 0]) == 4);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(from_an_element_on, R, resources) {
  R buffer;
  const auto all = reshape_buffer<double>(buffer, 200);
  const auto tail = reshape_buffer_at<double>(buffer, 100, 20, 5);
  BOOST_TEST(tail.data_handle() == &all[100]);
  tail[19, 4] = 7.0;
  BOOST_TEST(all[199] == 7.0);
}

template <std::size_t Bytes>
struct alignas(Bytes) aligned {
  std::byte bytes[Bytes];
};

BOOST_AUTO_TEST_CASE_TEMPLATE(need_memory_that_is_aligned_for_the_elements, R, resources) {
  R buffer;
  BOOST_CHECK_THROW((void)reshape_buffer<aligned<128>>(buffer, 1), std::invalid_argument);
  BOOST_TEST(alloc<aligned<128>>(buffer, 1).size() == 1u);  // nothing has happened
  buffer.reset();
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(reshape_buffer<aligned<64>>(buffer, 1).data_handle()) % 64 == 0u);
}

BOOST_AUTO_TEST_CASE(the_memory_of_others_begins_anywhere) {
  alignas(64) std::byte memory[192];
  bump_resource odd{std::span(memory).subspan(16)};
  BOOST_CHECK_THROW((void)reshape_buffer<aligned<64>>(odd, 1), std::invalid_argument);
  BOOST_CHECK_NO_THROW((void)odd.allocate(1, 1));
  odd.reset();
  BOOST_TEST((void*)reshape_buffer<double>(odd, 22).data_handle() == &memory[16]);
  bump_resource even{std::span(memory)};
  BOOST_TEST((void*)reshape_buffer<aligned<64>>(even, 3).data_handle() == &memory[0]);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(exclude_alloc_until_reset, R, resources) {
  R buffer;
  (void)reshape_buffer<double>(buffer, 10);
  BOOST_CHECK_THROW((void)alloc<double>(buffer, 1), order_error);
  BOOST_CHECK_THROW((void)buffer.allocate(1), order_error);
  BOOST_CHECK_THROW((void)buffer.allocate(100'000), order_error);
  BOOST_CHECK_NO_THROW((void)reshape_buffer<double>(buffer, 5));
  buffer.reset();
  BOOST_TEST(alloc<double>(buffer, 1).size() == 1u);
  BOOST_TEST(buffer.used() == 8u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(are_excluded_by_allocations, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 4);
  BOOST_CHECK_THROW((void)reshape_buffer<double>(buffer, 1), order_error);
  BOOST_CHECK_THROW((void)reshape_buffer_at<double>(buffer, 1, 1), order_error);
  BOOST_TEST(buffer.used() == 32u);
  buffers::drop(buffer, a);
  BOOST_CHECK_NO_THROW((void)reshape_buffer<double>(buffer, 1));
}

BOOST_AUTO_TEST_CASE(that_fail_leave_the_mode_alone) {
  bump_resource fixed{800};
  BOOST_CHECK_THROW((void)reshape_buffer<double>(fixed, 101), buffers::exhausted);
  BOOST_TEST(alloc<double>(fixed, 1).size() == 1u);
  fixed.reset();
  (void)reshape_buffer<double>(fixed, 100);
  BOOST_CHECK_THROW((void)reshape_buffer_at<double>(fixed, 1, 100), buffers::exhausted);
  BOOST_CHECK_THROW((void)alloc<double>(fixed, 1), order_error);

  buffers::test_resource upstream;
  slab_resource growing{{.first_slab = 1024}, &upstream};
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)reshape_buffer<double>(growing, 10), std::bad_alloc);
  upstream.set_allocation_limit(-1);
  BOOST_TEST(alloc<double>(growing, 1).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_slab_that_must_not_grow) {
  slab_resource buffer{{.first_slab = 1024, .extendable = false}};
  BOOST_CHECK_THROW((void)reshape_buffer<double>(buffer, 129), buffers::exhausted);
  BOOST_TEST(reshape_buffer<double>(buffer, 128).size() == 128u);
  BOOST_CHECK_THROW((void)reshape_buffer<double>(buffer, 129), buffers::exhausted);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(with_dims_that_are_none, R, resources) {
  R buffer;
  BOOST_CHECK_THROW((void)reshape_buffer<double>(buffer, -1), std::invalid_argument);
  BOOST_CHECK_THROW((void)reshape_buffer_at<double>(buffer, -1, 10), std::invalid_argument);
  BOOST_CHECK_THROW((void)reshape_buffer<double>(buffer, SIZE_MAX), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)reshape_buffer_at<double>(buffer, SIZE_MAX, 10), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)reshape_buffer_at<char>(buffer, SIZE_MAX / 2, 10), std::bad_alloc);
  BOOST_TEST(alloc<double>(buffer, 1).size() == 1u);
}

BOOST_AUTO_TEST_CASE(the_whole_of_a_buffer) {
  bump_resource buffer{800};
  const auto all = reshape_buffer<double>(buffer, buffer.capacity() / sizeof(double));
  BOOST_TEST(all.size() == 100u);
  buffer.reset();
  BOOST_TEST(alloc<double>(buffer, 100).data_handle() == all.data_handle());
}

BOOST_AUTO_TEST_CASE(growth_keeps_the_views_before) {
  buffers::test_resource upstream;
  slab_resource buffer{{.first_slab = 64}, &upstream};
  const auto small = reshape_buffer<int>(buffer, 16);
  for (std::size_t i = 0; i < 16; ++i) small[i] = static_cast<int>(i);
  const auto large = reshape_buffer<int>(buffer, 10'000);
  for (std::size_t i = 0; i < 10'000; ++i) large[i] = 1;
  BOOST_TEST(small[15] == 15);
  BOOST_TEST(buffer.capacity() >= 40'000u);
  buffer.reset();
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(alloc<int>(buffer, 10).size() == 10u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(end_with_a_scope, R, resources) {
  R buffer;
  {
    buffers::scope inner{buffer};
    (void)reshape_buffer<double>(buffer, 10);
    BOOST_CHECK_THROW((void)buffer.allocate(1), order_error);
    BOOST_CHECK_THROW(buffer.reset(), order_error);
  }
  BOOST_TEST(alloc<double>(buffer, 1).size() == 1u);
  BOOST_TEST(buffer.used() == 8u);
  BOOST_TEST(buffer.peak() == 8u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(end_with_a_restore, R, resources) {
  R buffer;
  const auto cp = buffer.checkpoint();
  (void)reshape_buffer<double>(buffer, 10);
  const auto inside = buffer.checkpoint();
  buffer.restore(inside);
  BOOST_CHECK_THROW((void)buffer.allocate(1), order_error);
  buffer.restore(cp);
  BOOST_TEST(alloc<double>(buffer, 1).size() == 1u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(are_not_dropped, R, resources) {
  R buffer;
  const auto view = reshape_buffer<double>(buffer, 10);
  BOOST_CHECK_THROW(buffers::drop(buffer, view), std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
