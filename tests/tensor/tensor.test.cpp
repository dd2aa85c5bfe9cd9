// tensor as a container of std::pmr.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mdspan>
#include <memory_resource>
#include <new>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/same.hpp"
import buffers;
import buffers.testing;

using namespace buffers;

namespace {

using shape1 = std::array<std::size_t, 1>;
using shape2 = std::array<std::size_t, 2>;

// What is tested may use the resource that it is given, and no other.
struct only_this {
  test_resource named;
  test_resource other;
  std::pmr::memory_resource* before = std::pmr::set_default_resource(&other);
  ~only_this() { std::pmr::set_default_resource(before); }
};

template <class X>
concept can_be_viewed = requires(X&& x) { tensor_view(std::forward<X>(x)); };
template <class X>
concept can_be_sliced = requires(X&& x) { std::forward<X>(x)[all, 0]; };
template <class T, class X>
concept can_be_added_to = requires(T& target, const X& x) { target += x; };
template <class X>
concept can_be_transposed = requires(X&& x) { transpose(std::forward<X>(x)); };
template <class X>
concept can_be_permuted = requires(X&& x) { permute(std::forward<X>(x), {1, 0}); };
template <class X>
concept can_be_expanded = requires(X&& x) { expand(std::forward<X>(x), {2, 2}); };
template <class X>
concept can_be_an_operand = requires(X&& x) { std::forward<X>(x) + 1; };
template <class X>
concept can_be_copied = requires(const X& x) { X(x); };

}  // namespace

BOOST_AUTO_TEST_SUITE(tensors)

BOOST_AUTO_TEST_CASE(braces_say_type_and_rank) {
  tensor one{1, 2, 3};
  tensor two{{1, 2, 3}, {4, 5, 6}};
  tensor three{{{1.0f, 2.0f}}, {{3.0f, 4.0f}}};
  tensor four{{{{true}, {false}}}};
  tensor<double, 2> widened{{1, 2}};
  tensor<float, 0> scalar(2.5f);
  static_assert(std::is_same_v<decltype(one), tensor<int, 1>>);
  static_assert(std::is_same_v<decltype(two), tensor<int, 2>>);
  static_assert(std::is_same_v<decltype(three), tensor<float, 3>>);
  static_assert(std::is_same_v<decltype(four), tensor<bool, 4>>);
  BOOST_TEST((two.shape() == shape2{2, 3}));
  BOOST_TEST((three.shape() == std::array<std::size_t, 3>{2, 1, 2}));
  BOOST_TEST((four.shape() == std::array<std::size_t, 4>{1, 1, 2, 1}));
  BOOST_TEST((two[1, 2]) == 6);
  BOOST_TEST((three[1, 0, 1]) == 4.0f);
  BOOST_TEST((four[0, 0, 1, 0]) == false);
  BOOST_TEST((widened[0, 1]) == 2.0);
  BOOST_TEST(scalar[] == 2.5f);
  BOOST_TEST(static_cast<float>(scalar) == 2.5f);
}

BOOST_AUTO_TEST_CASE(ragged_braces_are_refused) {
  BOOST_CHECK_THROW(((void)(tensor{{1, 2}, {3}})), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(tensor{{{1, 2, 3}, {4, 5, 6}}, {{7, 8, 9}, {10, 11}}})), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(empty_braces) {
  tensor<float, 1> none({});
  BOOST_TEST(none.numel() == 0u);
  tensor<float, 2> rows{{}, {}};
  BOOST_TEST((rows.shape() == shape2{2, 0}));
  BOOST_TEST((rows.strides() == std::array<std::ptrdiff_t, 2>{0, 1}));
  BOOST_TEST(rows.is_contiguous());
  BOOST_TEST((rows.to_nested() == std::vector<std::vector<float>>{{}, {}}));
}

BOOST_AUTO_TEST_CASE(from_a_shape_there_are_zeros) {
  tensor<float, 2> t(shape2{2, 3});
  BOOST_TEST(same(t, tensor{{0.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f}}));
}

BOOST_AUTO_TEST_CASE(memory_comes_from_the_named_resource_alone) {
  only_this resources;
  {
    test_resource& r = resources.named;
    auto a = zeros<float>({3, 4}, &r);
    BOOST_TEST(r.allocations() == 1u);
    BOOST_TEST(r.last_bytes() == 48u);
    auto b = ones<float>(a.shape(), &r);
    tensor c(a + b * 2.0f, &r);
    tensor d(c, &r);
    tensor e{{{1.0f}}, &r};
    auto f = c.copy(&r);
    auto g = evaluate(c + d, &r);
    tensor h(c[all, 1], &r);
    BOOST_TEST(r.allocations() == 8u);
    BOOST_TEST(h.get_allocator().resource() == &r);
    tensor moved(std::move(g), &r);
    tensor stolen(std::move(moved));
    BOOST_TEST(r.allocations() == 8u);
    BOOST_TEST(same(stolen, full<float>({3, 4}, 4, &r)));
  }
  BOOST_TEST(resources.named.is_clean());
  BOOST_TEST(resources.other.allocations() == 0u);
}

BOOST_AUTO_TEST_CASE(no_dimensions_no_memory) {
  only_this resources;
  auto t = full<double>({}, 3.0, &resources.named);
  t[] += 1;
  tensor moved(std::move(t));
  BOOST_TEST(moved[] == 4.0);
  BOOST_TEST(t[] == 4.0);  // still there
  tensor<double, 0> zero;
  BOOST_TEST(zero[] == 0.0);
  BOOST_TEST(resources.named.allocations() + resources.other.allocations() == 0u);
}

BOOST_AUTO_TEST_CASE(large_blocks_are_aligned_to_a_cache_line) {
  test_resource r;
  const auto few = zeros<float>({3}, &r);
  BOOST_TEST(r.last_alignment() == alignof(float));
  const auto small = zeros<float>({255}, &r);
  BOOST_TEST(r.last_alignment() == 16u);
  const auto large = zeros<float>({256}, &r);
  BOOST_TEST(r.last_alignment() == 64u);
}

BOOST_AUTO_TEST_CASE(a_copy_uses_the_default_resource) {
  only_this resources;
  {
    auto a = ones<int>({4}, &resources.named);
    tensor b = a;
    BOOST_TEST(b.get_allocator().resource() == &resources.other);
    BOOST_TEST(a.copy().get_allocator().resource() == &resources.other);
    BOOST_TEST(same(a, b));
    b[0] = 7;
    BOOST_TEST(a[0] == 1);
  }
  BOOST_TEST(resources.named.is_clean());
  BOOST_TEST(resources.other.is_clean());
}

BOOST_AUTO_TEST_CASE(moves) {
  test_resource one, other;
  {
    tensor a({{1, 2}, {3, 4}}, &one);
    const int* const elements = a.data();
    tensor b(std::move(a));
    BOOST_TEST(b.data() == elements);
    BOOST_TEST(a.numel() == 0u);
    BOOST_TEST((a.shape() == shape2{0, 0}));
    BOOST_TEST(a.get_allocator().resource() == &one);
    a = tensor({{5, 6, 7}}, &one);  // may be used again
    BOOST_TEST((a[0, 2]) == 7);

    tensor c(std::move(b), &other);  // another resource: copied
    BOOST_TEST(c.data() != elements);
    BOOST_TEST((c[1, 1]) == 4);
    BOOST_TEST((b[1, 1]) == 4);  // NOLINT(bugprone-use-after-move): that is the test

    tensor<int, 2> d(&one);
    d = std::move(c);
    BOOST_TEST(d.get_allocator().resource() == &one);
    BOOST_TEST(same(d, tensor{{1, 2}, {3, 4}}));

    tensor<int, 2> e(&one);
    const int* const before = d.data();
    e = std::move(d);
    BOOST_TEST(e.data() == before);
  }
  BOOST_TEST(one.is_clean());
  BOOST_TEST(other.is_clean());
  static_assert(std::is_nothrow_move_constructible_v<tensor<int, 2>>);
}

BOOST_AUTO_TEST_CASE(assignments_keep_the_resource_and_the_memory) {
  test_resource one, other;
  tensor a({{1, 2, 3}, {4, 5, 6}}, &one);
  const tensor b({{1, 2}, {3, 4}, {5, 6}}, &other);
  const int* const elements = a.data();
  a = b;
  BOOST_TEST(same(a, b));
  BOOST_TEST(a.data() == elements);  // as many elements
  a = transpose(b);
  BOOST_TEST(a.data() == elements);
  BOOST_TEST(same(a, transpose(b)));
  a = b[range{0, 1}, all] + 0;
  BOOST_TEST(same(a, tensor{{1, 2}}));
  BOOST_TEST(a.get_allocator().resource() == &one);
  a = *&a;
  BOOST_TEST(same(a, tensor{{1, 2}}));
  auto& itself = a;
  a = std::move(itself);
  BOOST_TEST(same(a, tensor{{1, 2}}));
  a = 7;
  BOOST_TEST(same(a, tensor{{7, 7}}));
}

BOOST_AUTO_TEST_CASE(swaps) {
  test_resource one, other;
  tensor a({1, 2}, &one), b({3, 4, 5}, &one), c({6}, &other);
  const int* const elements = a.data();
  swap(a, b);
  BOOST_TEST(b.data() == elements);
  a.swap(c);  // each keeps its resource
  BOOST_TEST(same(a, tensor{6}));
  BOOST_TEST(same(c, tensor{3, 4, 5}));
  BOOST_TEST(a.get_allocator().resource() == &one);
  BOOST_TEST(c.get_allocator().resource() == &other);
}

BOOST_AUTO_TEST_CASE(in_containers) {
  only_this resources;
  {
    std::pmr::vector<tensor<float, 1>> all_of_them(&resources.named);
    all_of_them.emplace_back(shape1{3});
    all_of_them.emplace_back();
    const auto from_elsewhere = ones<float>({100}, &resources.named);
    all_of_them.push_back(from_elsewhere);
    all_of_them.resize(10);
    for (const auto& t : all_of_them) BOOST_TEST(t.get_allocator().resource() == &resources.named);
    BOOST_TEST(all_of_them[2].numel() == 100u);
    static_assert(std::uses_allocator_v<tensor<float, 1>, std::pmr::polymorphic_allocator<>>);
  }
  BOOST_TEST(resources.named.is_clean());
  BOOST_TEST(resources.other.allocations() == 0u);
}

BOOST_AUTO_TEST_CASE(nothing_leaks_and_nothing_changes_when_memory_runs_out) {
  exception_test_loop([](std::pmr::memory_resource& r) {
    tensor a({{1.0, 2.0}, {3.0, 4.0}}, &r);
    tensor b(a, &r);
    tensor c({{9.0}}, &r);
    try {
      c = a + b;
      c = a - sum(b, axes<0>);
      c[all, range{0, 1}] = c[all, range{1, 2}] / sum(a, axes<1>, keepdims);
      c = transpose(c);
    } catch (const std::bad_alloc&) {
      if (c.numel() == 1 && c[0, 0] != 9.0) throw std::logic_error("changed");
      throw;
    }
  });
}

BOOST_AUTO_TEST_CASE(shapes_that_cannot_be) {
  test_resource r;
  const int negative = -1;
  BOOST_CHECK_THROW(((void)(zeros<float>({negative, 3}, &r))), std::invalid_argument);
  const std::size_t many = std::numeric_limits<std::size_t>::max() / 2;
  BOOST_CHECK_THROW(((void)(zeros<float>({many, many}, &r))), std::bad_array_new_length);
  BOOST_CHECK_THROW(((void)(zeros<float>({many / 2}, &r))), std::bad_alloc);
  BOOST_TEST(zeros<float>({many, 0}, &r).numel() == 0u);
  BOOST_TEST(r.allocations() == 0u);
}

BOOST_AUTO_TEST_CASE(a_resource_is_no_element) {
  test_resource memory;
  const tensor<bool, 0> of_bool(&memory);
  BOOST_TEST((of_bool.get_allocator().resource() == &memory));
  BOOST_TEST(!of_bool[]);
  const tensor<int, 0> of_int(&memory);
  BOOST_TEST((of_int.get_allocator().resource() == &memory));
}

BOOST_AUTO_TEST_CASE(dtypes) {
  static_assert(!buffers::element<__int128> && !buffers::element<unsigned __int128> && buffers::element<long double>);
  static_assert(dtype_of<float> == "float32" && dtype_of<double> == "float64" && dtype_of<bool> == "bool");
  static_assert(dtype_of<std::int8_t> == "int8" && dtype_of<std::int16_t> == "int16" && dtype_of<int> == "int32" &&
                dtype_of<long long> == "int64");
  static_assert(dtype_of<unsigned char> == "uint8" && dtype_of<std::uint16_t> == "uint16" &&
                dtype_of<unsigned> == "uint32" && dtype_of<std::size_t> == "uint64");
}

BOOST_AUTO_TEST_CASE(to_and_from_mdspan_and_span) {
  tensor t{{1, 2, 3}, {4, 5, 6}};
  const std::mdspan<int, std::dextents<std::size_t, 2>> right = t.mdspan();
  BOOST_TEST((right[1, 2]) == 6);
  right[1, 2] = 7;
  BOOST_TEST((t[1, 2]) == 7);
  const auto strided = t[all, range{0, 3, 2}].mdspan();
  BOOST_TEST((strided[1, 1]) == 7);
  BOOST_TEST(strided.stride(1) == 2u);
  BOOST_CHECK_THROW(((void)(t[all, range{all, all, -1}].mdspan())), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(expand(t[0, all], {4, 3}).mdspan())), std::invalid_argument);
  BOOST_CHECK_NO_THROW(((void)(expand(t[0, all], {1, 3}).mdspan())));
  BOOST_CHECK_NO_THROW(((void)(t[range{0, 0}, all].mdspan())));
  BOOST_CHECK_THROW(((void)(transpose(t).mdspan<std::layout_right>())), std::invalid_argument);
  BOOST_TEST((t[1, all].mdspan<std::layout_right>()[2]) == 7);

  // Where an mdspan is expected.
  using matrix = std::mdspan<int, std::dextents<std::size_t, 2>>;
  using columns_of = std::mdspan<const int, std::dextents<std::size_t, 2>, std::layout_left>;
  using strided_matrix = std::mdspan<const int, std::dextents<std::size_t, 2>, std::layout_stride>;
  const auto last = [](matrix m) { return m[m.extent(0) - 1, m.extent(1) - 1]; };
  const auto last_of_columns = [](columns_of m) { return m[m.extent(0) - 1, m.extent(1) - 1]; };
  const auto last_of_strided = [](strided_matrix m) { return m[m.extent(0) - 1, m.extent(1) - 1]; };
  BOOST_TEST(last(t) == 7);
  BOOST_TEST(last(t[all, all]) == 7);
  BOOST_TEST(last_of_columns(transpose(t)) == 7);
  BOOST_TEST(last_of_strided(t) == 7);
  BOOST_TEST(last_of_strided(t[all, range{0, 2}]) == 5);
  BOOST_CHECK_THROW(last(transpose(t)), std::invalid_argument);
  BOOST_CHECK_THROW(last_of_columns(t[all, all]), std::invalid_argument);

  slab_resource scratch;
  auto columns = alloc<double, std::layout_left>(scratch, 2, 3);
  tensor_view v(columns);
  static_assert(std::is_same_v<decltype(v), tensor_view<double, 2>>);
  BOOST_TEST((v.strides() == std::array<std::ptrdiff_t, 2>{1, 2}));
  v = t;
  BOOST_TEST((columns[1, 2]) == 7.0);
  tensor_view w(std::mdspan(t.data(), std::extents<std::size_t, 3, 2>{}));
  BOOST_TEST((w[2, 1]) == 7);
  std::vector<int> elements{1, 2, 3};
  tensor_view s(std::span{elements});
  s *= 2;
  BOOST_TEST(elements[2] == 6);
  const tensor_view<const int, 1> constant = s;
  BOOST_TEST(constant[-1] == 6);
}

BOOST_AUTO_TEST_CASE(what_would_dangle_does_not_compile) {
  using t = tensor<int, 2>;
  static_assert(can_be_viewed<t&> && can_be_viewed<const t&> && !can_be_viewed<t> && !can_be_viewed<const t>);
  static_assert(can_be_sliced<t&> && can_be_sliced<const t&> && !can_be_sliced<t> && !can_be_sliced<const t>);
  static_assert(can_be_transposed<t&> && !can_be_transposed<t> && !can_be_transposed<const t>);
  static_assert(can_be_permuted<t&> && !can_be_permuted<t>);
  static_assert(can_be_expanded<t&> && !can_be_expanded<t>);
  static_assert(can_be_an_operand<t&> && can_be_an_operand<t> && !can_be_an_operand<const t>);
  static_assert(!std::is_convertible_v<t, tensor_view<const int, 2>>);
  static_assert(can_be_copied<decltype(std::declval<t&>() + 1)> && !can_be_copied<decltype(t() + 1)>);
  static_assert(can_be_transposed<tensor_view<int, 2>>);  // does not own
  static_assert(
      requires(tensor<int, 2> t, tensor_view<int, 1> v, tensor<int, 1> row) { t += row, t *= v + 1, v -= 2; });
  static_assert(!can_be_added_to<tensor<int, 1>, tensor<int, 2>>);  // which has more dimensions
  static_assert(!can_be_added_to<tensor_view<int, 1>, tensor<int, 2>>);
}

BOOST_AUTO_TEST_CASE(braces_are_assigned_from_the_own_resource) {
  test_resource memory, other;
  default_resource_guard by_default(&other);
  {
    tensor<float, 2> t({{1, 2}, {3, 4}}, &memory);
    t = {{5, 6}, {7, 8}, {9, 10}};
    BOOST_TEST(same(t, tensor<float, 2>({{5, 6}, {7, 8}, {9, 10}}, &memory)));
    tensor<int, 1> row(&memory);
    row = {4, 5};
    BOOST_TEST(same(row, tensor<int, 1>({4, 5}, &memory)));
    BOOST_CHECK_THROW((t = {{1, 2}, {3}}), std::invalid_argument);
    BOOST_TEST(t.numel() == 6u);
  }
  BOOST_TEST(other.allocations() == 0u);
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(no_dimensions_keep_their_element) {
  test_resource memory;
  tensor<int, 0> a(5), b(6), c(&memory);
  b = std::move(a);
  c = std::move(b);
  const tensor<int, 0> d(std::move(c), &memory);
  BOOST_TEST(d[] == 5);
  BOOST_TEST(a[] == 5);  // NOLINT(bugprone-use-after-move): that is the test
  BOOST_TEST(b[] == 5);  // NOLINT(bugprone-use-after-move)
  BOOST_TEST(c[] == 5);  // NOLINT(bugprone-use-after-move)
}

static_assert(!std::is_convertible_v<tensor<float, 2>, std::mdspan<const float, std::dextents<std::size_t, 2>>>);
static_assert(std::is_convertible_v<const tensor<float, 2>&, std::mdspan<const float, std::dextents<std::size_t, 2>>>);

BOOST_AUTO_TEST_CASE(braces_of_many_dimensions) {
  const tensor five{{{{{1, 2}, {3, 4}}}}};
  static_assert(std::is_same_v<decltype(five), const tensor<int, 5>>);
  BOOST_TEST((five.shape() == std::array<std::size_t, 5>{1, 1, 1, 2, 2}));
  BOOST_TEST((five[0, 0, 0, 1, 0]) == 3);
  const tensor two_of_five{{{{{1, 2}}, {{3, 4}}}}, {{{{5, 6}}, {{7, 8}}}}};
  static_assert(two_of_five.rank == 5);
  BOOST_TEST((two_of_five[1, 0, 1, 0, 1]) == 8);
  const tensor six{{{{{{1.5f}}}}}};
  static_assert(std::is_same_v<decltype(six), const tensor<float, 6>>);
  const tensor seven{{{{{{{1}}}}}}};
  static_assert(seven.rank == 7);
  const tensor eight{{{{{{{{1}, {2}}}}}}}};
  static_assert(eight.rank == 8);
  BOOST_TEST((eight[0, 0, 0, 0, 0, 0, 1, 0]) == 2);
}

BOOST_AUTO_TEST_CASE(shapes_of_any_integers) {
  const int rows = 2;
  const unsigned columns = 3;
  test_resource memory;
  const tensor<float, 2> t({rows, columns}, &memory);
  BOOST_TEST((t.shape() == std::array<std::size_t, 2>{2, 3}));
  BOOST_TEST(all(t == 0));
  BOOST_TEST(memory.allocations() == 1u);
  const tensor<double, 3> cube({rows, rows, columns});
  BOOST_TEST(cube.numel() == 12u);
  BOOST_TEST((tensor<float, 2>(t.shape()).numel()) == 6u);
  BOOST_CHECK_THROW((tensor<float, 2>({rows, -1})), std::invalid_argument);
  BOOST_CHECK_THROW((tensor<float, 2>({SIZE_MAX / 2, std::size_t{4}})), std::bad_alloc);
  const std::size_t step = 2;
  const auto six = arange<int>(0, 6);
  BOOST_TEST((six[range{0, 6, step}].numel()) == 3u);
}

BOOST_AUTO_TEST_SUITE_END()
