#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <mdspan>
#include <stdexcept>
#include <type_traits>
import buffers;

using buffers::is_contiguous;
using buffers::neuralyze;

namespace {

template <std::size_t Rank>
using extents = std::dextents<std::size_t, Rank>;

template <std::size_t Rank>
auto strided(int* data, std::array<std::size_t, Rank> shape, std::array<std::size_t, Rank> strides) {
  return std::mdspan<int, extents<Rank>, std::layout_stride>(
      data, std::layout_stride::mapping(extents<Rank>(shape), strides));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(views)

BOOST_AUTO_TEST_CASE(arrays_without_gaps) {
  std::array<int, 24> memory{};
  BOOST_TEST(is_contiguous(std::mdspan(memory.data(), 2, 3, 4)));
  BOOST_TEST(is_contiguous(std::mdspan<int, extents<2>, std::layout_left>(memory.data(), 4, 6)));
  BOOST_TEST(is_contiguous(std::mdspan<int, std::extents<std::size_t>>(memory.data())));
  BOOST_TEST(is_contiguous(strided<2>(memory.data(), {4, 6}, {6, 1})));
  BOOST_TEST(is_contiguous(strided<2>(memory.data(), {4, 6}, {1, 4})));
  BOOST_TEST(is_contiguous(strided<3>(memory.data(), {2, 3, 4}, {4, 8, 1})));
}

BOOST_AUTO_TEST_CASE(arrays_with_gaps) {
  std::array<int, 48> memory{};
  BOOST_TEST(!is_contiguous(strided<1>(memory.data(), {10}, {2})));
  BOOST_TEST(!is_contiguous(strided<2>(memory.data(), {4, 5}, {6, 1})));
  BOOST_TEST(!is_contiguous(strided<2>(memory.data(), {4, 6}, {12, 2})));
}

BOOST_AUTO_TEST_CASE(dims_of_size_1_have_no_say) {
  std::array<int, 48> memory{};
  BOOST_TEST(is_contiguous(strided<1>(memory.data(), {1}, {17})));
  BOOST_TEST(is_contiguous(strided<2>(memory.data(), {1, 6}, {40, 1})));
  BOOST_TEST(is_contiguous(strided<2>(memory.data(), {6, 1}, {1, 5})));
  BOOST_TEST(is_contiguous(strided<3>(memory.data(), {4, 1, 6}, {6, 3, 1})));
  BOOST_TEST(!is_contiguous(strided<2>(memory.data(), {6, 1}, {2, 1})));
}

BOOST_AUTO_TEST_CASE(empty_arrays) {
  std::array<int, 48> memory{};
  BOOST_TEST(is_contiguous(strided<2>(memory.data(), {0, 6}, {40, 2})));
  BOOST_TEST(is_contiguous(strided<2>(memory.data(), {6, 0}, {40, 2})));
}

BOOST_AUTO_TEST_CASE(neuralyzed_views_see_the_same_memory) {
  buffers::slab_resource buffer;
  const auto a = buffers::alloc<double>(buffer, 2, 3);
  a[1, 2] = 1.0;
  const auto same = neuralyze(a);
  static_assert(std::is_same_v<decltype(same), decltype(a)>);
  BOOST_TEST(same.data_handle() == a.data_handle());
  BOOST_TEST(same.extent(1) == 3u);
  same[1, 2] = 2.0;
  BOOST_TEST((a[1, 2]) == 2.0);
  const auto columns = neuralyze(buffers::alloc<double, std::layout_left>(buffer, 2, 3));
  BOOST_TEST((&columns[1, 0] - &columns[0, 0]) == 1);
}

BOOST_AUTO_TEST_CASE(of_tensors_and_their_views) {
  buffers::tensor t{{1, 2, 3}, {4, 5, 6}};
  BOOST_TEST(buffers::is_contiguous(t));
  BOOST_TEST(!buffers::is_contiguous(buffers::transpose(t)));
  const auto column = t[buffers::all, 1];
  BOOST_TEST(!buffers::is_contiguous(column));
  const auto same = neuralyze(t);
  same[1, 2] = 7;
  BOOST_TEST((t[1, 2]) == 7);
  BOOST_TEST(neuralyze(t[1, buffers::all]).data() == t.data() + 3);
  BOOST_CHECK_THROW((void)neuralyze(column), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(views_with_gaps_are_not_neuralyzed) {
  std::array<int, 48> memory{};
  BOOST_CHECK_THROW((void)neuralyze(strided<1>(memory.data(), {10}, {2})), std::invalid_argument);
  BOOST_CHECK_NO_THROW((void)neuralyze(strided<2>(memory.data(), {6, 1}, {1, 5})));
}

BOOST_AUTO_TEST_SUITE_END()
