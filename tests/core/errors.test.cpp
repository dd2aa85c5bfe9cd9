#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
import buffers;

BOOST_AUTO_TEST_SUITE(errors)

BOOST_AUTO_TEST_CASE(exhausted_states_its_numbers) {
  const buffers::exhausted full(64, 20, 4096);
  BOOST_TEST(full.requested() == 64u);
  BOOST_TEST(full.available() == 20u);
  BOOST_TEST(full.capacity() == 4096u);
  BOOST_TEST(full.what() == std::string("buffers: exhausted: 64 bytes requested, 20 available, capacity 4096"));
}

BOOST_AUTO_TEST_CASE(the_greatest_numbers_fit_into_what) {
  const std::string most = std::to_string(SIZE_MAX);
  BOOST_TEST(buffers::exhausted(SIZE_MAX, SIZE_MAX, SIZE_MAX).what() ==
             "buffers: exhausted: " + most + " bytes requested, " + most + " available, capacity " + most);
}

BOOST_AUTO_TEST_CASE(a_copy_says_the_same) {
  const buffers::exhausted full(1, 2, 3);
  const buffers::exhausted copy = full;
  BOOST_TEST(copy.what() == std::string(full.what()));
  BOOST_TEST(static_cast<const void*>(copy.what()) != static_cast<const void*>(full.what()));
}

BOOST_AUTO_TEST_CASE(places_in_the_standard_tree) {
  static_assert(std::is_base_of_v<std::bad_alloc, buffers::exhausted>);
  static_assert(std::is_base_of_v<std::logic_error, buffers::order_error>);
  static_assert(!std::is_base_of_v<std::invalid_argument, buffers::order_error>);
  static_assert(std::is_nothrow_copy_constructible_v<buffers::exhausted>);
}

BOOST_AUTO_TEST_SUITE_END()
