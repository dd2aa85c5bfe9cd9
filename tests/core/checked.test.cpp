#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
import buffers;

using namespace buffers::detail;

BOOST_AUTO_TEST_SUITE(checked)

BOOST_AUTO_TEST_CASE(sums_end_at_the_largest_object) {
  BOOST_TEST(add_bytes(3, 4) == 7u);
  BOOST_TEST(add_bytes(largest_request - 1, 1) == largest_request);
  BOOST_CHECK_THROW((void)add_bytes(largest_request, 1), std::bad_alloc);
  BOOST_CHECK_THROW((void)add_bytes(1, largest_request), std::bad_alloc);
  BOOST_CHECK_THROW((void)add_bytes(SIZE_MAX, 1), std::bad_alloc);
  BOOST_CHECK_THROW((void)add_bytes(SIZE_MAX, SIZE_MAX), std::bad_alloc);
}

BOOST_AUTO_TEST_CASE(products_end_at_the_largest_object) {
  BOOST_TEST(multiply(6, 7) == 42u);
  BOOST_TEST(multiply(0, SIZE_MAX) == 0u);
  BOOST_TEST(multiply(SIZE_MAX, 0) == 0u);
  BOOST_TEST(multiply(1, largest_request) == largest_request);
  BOOST_CHECK_THROW((void)multiply(2, largest_request / 2 + 1), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)multiply(SIZE_MAX, 1), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)multiply(std::size_t{1} << 32, std::size_t{1} << 32), std::bad_array_new_length);
}

BOOST_AUTO_TEST_CASE(rounding_up) {
  BOOST_TEST(round_up(0, 16) == 0u);
  BOOST_TEST(round_up(1, 16) == 16u);
  BOOST_TEST(round_up(16, 16) == 16u);
  BOOST_TEST(round_up(17, 16) == 32u);
  BOOST_CHECK_THROW((void)round_up(SIZE_MAX, 16), std::bad_alloc);
}

BOOST_AUTO_TEST_CASE(sizes_are_not_negative) {
  BOOST_TEST(to_size(7) == 7u);
  BOOST_TEST(to_size(std::uint8_t{200}) == 200u);
  BOOST_CHECK_THROW((void)to_size(-1), std::invalid_argument);
  BOOST_CHECK_THROW((void)to_size(std::numeric_limits<std::int64_t>::min()), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(alignments_are_powers_of_two) {
  for (std::size_t alignment = 1; alignment != 0; alignment *= 2) BOOST_CHECK_NO_THROW(require_alignment(alignment));
  for (std::size_t alignment : {0uz, 3uz, 6uz, 12uz, 100uz})
    BOOST_CHECK_THROW(require_alignment(alignment), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(constant_expressions) {
  static_assert(add_bytes(1, 2) == 3);
  static_assert(multiply(2, 3) == 6);
  static_assert(round_up(5, 4) == 8);
}

BOOST_AUTO_TEST_SUITE_END()
