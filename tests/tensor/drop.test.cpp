#include <algorithm>
#include <array>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <mdspan>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>
import buffers;
import buffers.testing;

using buffers::alloc;
using buffers::bump_resource;
using buffers::drop;
using buffers::slab_resource;

using resources = boost::mpl::list<bump_resource, slab_resource>;

BOOST_AUTO_TEST_SUITE(drops)

BOOST_AUTO_TEST_CASE_TEMPLATE(in_any_order_within_a_call, R, resources) {
  R buffer;
  std::array<int, 3> order{0, 1, 2};
  do {
    const std::array views{alloc<double>(buffer, 2, 2), alloc<double>(buffer, 3, 3), alloc<double>(buffer, 5, 1)};
    const auto view = [&](std::size_t i) { return views[static_cast<std::size_t>(order[i])]; };
    drop(buffer, view(0), view(1), view(2));
    BOOST_TEST(buffer.used() == 0u);
  } while (std::ranges::next_permutation(order).found);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(in_any_order_across_calls, R, resources) {
  R buffer;
  std::array<std::size_t, 5> order{0, 1, 2, 3, 4};
  do {
    std::vector<std::mdspan<char, std::dextents<std::size_t, 1>>> views;
    for (std::size_t i = 0; i < 5; ++i) views.push_back(alloc<char>(buffer, 1 + 13 * i));
    for (std::size_t i : order) drop(buffer, views[i]);
    BOOST_TEST(buffer.used() == 0u);
  } while (std::ranges::next_permutation(order).found);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(memory_comes_back_from_the_end, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 2), b = alloc<double>(buffer, 4), c = alloc<double>(buffer, 6);
  drop(buffer, a);
  BOOST_TEST(buffer.used() == 96u);
  drop(buffer, c);
  BOOST_TEST(buffer.used() == 48u);
  drop(buffer, b);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(no_views, R, resources) {
  R buffer;
  (void)alloc<double>(buffer, 2);
  drop(buffer);
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(empty_views_in_between, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 3);
  const auto nothing = alloc<double>(buffer, 0);
  const auto b = alloc<double>(buffer, 3);
  const auto also_nothing = alloc<double>(buffer, 3, 0);
  drop(buffer, nothing, a, also_nothing, b);
  BOOST_TEST(buffer.used() == 0u);
  const auto c = alloc<double>(buffer, 0);
  const auto d = alloc<double>(buffer, 3);
  drop(buffer, d, c);
  BOOST_TEST(buffer.used() == 0u);
  drop(buffer, c, c, std::span<double>());
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_view_dropped_twice, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 2), b = alloc<double>(buffer, 4), c = alloc<double>(buffer, 6);
  drop(buffer, b);
  BOOST_CHECK_THROW(drop(buffer, b), std::invalid_argument);
  BOOST_CHECK_THROW(drop(buffer, a, b, c), std::invalid_argument);
  BOOST_TEST(buffer.used() == 96u);
  drop(buffer, c, a);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_CHECK_THROW(drop(buffer, a), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_view_twice_in_one_call, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 2), b = alloc<double>(buffer, 4);
  BOOST_CHECK_THROW(drop(buffer, a, b, a), std::invalid_argument);
  BOOST_CHECK_THROW(drop(buffer, b, b), std::invalid_argument);
  BOOST_TEST(buffer.used() == 48u);
  drop(buffer, a, b);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(overlapping_views_in_one_call, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 8);
  const std::span all(a.data_handle(), 8), part = all.first(2);
  BOOST_CHECK_THROW(drop(buffer, all, part), std::invalid_argument);
  BOOST_TEST(buffer.used() == 64u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_foreign_view, R, resources) {
  R buffer, other;
  const auto a = alloc<double>(buffer, 2);
  const auto foreign = alloc<double>(other, 2);
  std::array<double, 2> local{};
  BOOST_CHECK_THROW(drop(buffer, a, foreign), std::invalid_argument);
  BOOST_CHECK_THROW(drop(buffer, std::span(local), a), std::invalid_argument);
  BOOST_TEST(buffer.used() == 16u);
  BOOST_TEST(other.used() == 16u);
  drop(buffer, a);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_view_from_before_a_reset_or_a_scope_s_end, R, resources) {
  R buffer;
  const auto old = alloc<double>(buffer, 2);
  buffer.reset();
  BOOST_CHECK_THROW(drop(buffer, old), std::invalid_argument);
  std::span<std::byte> inside;
  {
    buffers::scope inner{buffer};
    inside = buffers::alloc_bytes(buffer, 100);
  }
  BOOST_CHECK_THROW(drop(buffer, inside), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_view_older_than_an_open_scope, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 2), b = alloc<double>(buffer, 4);
  {
    buffers::scope inner{buffer};
    const auto c = alloc<double>(buffer, 6);
    drop(buffer, b);
    BOOST_TEST(buffer.used() == 96u);
    drop(buffer, c);
    BOOST_TEST(buffer.used() == 48u);
    BOOST_CHECK_THROW(drop(buffer, b), std::invalid_argument);
    drop(buffer, a);
    BOOST_TEST(buffer.used() == 48u);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_scope_opened_over_dropped_views, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 2), b = alloc<double>(buffer, 4);
  drop(buffer, a);
  {
    buffers::scope inner{buffer};
    (void)alloc<double>(buffer, 6);
  }
  BOOST_TEST(buffer.used() == 48u);
  drop(buffer, b);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(over_aligned_views, R, resources) {
  R buffer;
  const auto a = alloc<double>(buffer, 1);
  const auto b = alloc<double>(buffer, buffers::alignment{64}, 1);
  const auto c = alloc<double>(buffer, buffers::alignment{4096}, 1);
  drop(buffer, b);
  drop(buffer, a);
  drop(buffer, c);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(views_of_both_layouts_and_spans, R, resources) {
  R buffer;
  const auto a = alloc<double, std::layout_left>(buffer, 2, 3);
  const auto b = buffers::alloc_bytes(buffer, 10);
  const auto c = alloc<int>(buffer, std::extents<std::size_t, 2, 2>{});
  drop(buffer, a, b, c);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(views_with_memory_of_their_own) {
  slab_resource buffer{{.first_slab = 1024, .growth = 1, .largest_slab = 1024}};
  const auto a = alloc<double>(buffer, 1000), b = alloc<double>(buffer, 2), c = alloc<double>(buffer, 2000);
  drop(buffer, a);
  BOOST_TEST(buffer.used() == 16'016u);
  BOOST_CHECK_THROW(drop(buffer, a), std::invalid_argument);
  BOOST_CHECK_THROW(drop(buffer, c, c), std::invalid_argument);
  drop(buffer, b, c);
  BOOST_TEST(buffer.used() == 0u);
}

// Resources that only allocate and deallocate get back what they were asked for.
BOOST_AUTO_TEST_CASE(to_any_resource) {
  buffers::test_resource memory;
  const auto a = alloc<double>(memory, 3, 3);
  const auto b = alloc<char>(memory, 5);
  const auto bytes = buffers::alloc_bytes(memory, 100);
  const auto aligned = alloc<float>(memory, buffers::alignment{64}, 25),
             more = alloc<float>(memory, buffers::alignment{64}, 1);
  const auto nothing = alloc<double>(memory, 0, 3);  // for which a resource may give memory
  drop(memory, b, nothing, a, bytes);
  drop(memory, buffers::alignment{64}, more, aligned);
  BOOST_TEST(memory.mistakes() == 0u);
  BOOST_TEST(memory.is_clean());
  buffers::pool_resource pool;
  for (int i = 0; i < 3000; ++i) {
    const auto view = alloc<float>(pool, buffers::alignment{64}, 25);
    BOOST_REQUIRE(reinterpret_cast<std::uintptr_t>(view.data_handle()) % 64 == 0);
    drop(pool, buffers::alignment{64}, view);
  }
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
