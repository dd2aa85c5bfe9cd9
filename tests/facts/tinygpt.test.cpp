// What the tests of TinyGPT's Buffer state, each under the name of its function there, with our outcome. Where ours is
// another, the case says so. What Python finds out when a program runs, the compiler finds here: indices, shapes and
// operands of the wrong kind, too many indices, and axes beside the array do not compile. Ours are typed: float stands
// for its float32, int for its int32.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstddef>
#include <memory_resource>
#include <random>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "support/same.hpp"
import buffers;

using namespace buffers;

namespace {

template <std::size_t N>
using shape_of = std::array<std::size_t, N>;
template <std::size_t N>
using strides_of = std::array<std::ptrdiff_t, N>;

// Views with any strides over numbers that count up.
template <class T>
struct counting {
  std::vector<T> data;

  explicit counting(std::size_t count, int first = 0) {
    for (std::size_t i = 0; i < count; ++i) data.push_back(static_cast<T>(first + static_cast<int>(i)));
  }
  template <std::size_t N>
  tensor_view<T, N> view(shape_of<N> shape, strides_of<N> strides, std::size_t offset = 0) {
    return {data.data() + offset, shape, strides};
  }
};

// The elements in row-major order.
template <class X>
auto elements(const X& x) {
  std::vector<typename X::value_type> all_of_them;
  for (const auto value : x) all_of_them.push_back(value);
  return all_of_them;
}

template <class T, class... I>
concept indexable = requires(T& t, I... i) { t[i...]; };
template <class A, class B>
concept addable = requires(const A& a, const B& b) { a + b; };
template <class T, int Axis>
concept has_axis = requires(const T& t) {
  sum(t, axes<Axis>);
  max(t, axes<Axis>);
};
template <class T>
concept has_triangle = requires(const T& t) { tril(t); };
template <class A, class B>
concept concatenates = requires(const A& a, const B& b) { concatenate<0>(a, b); };
template <class T>
concept permutes_one = requires(T& t) { permute(t, {0}); };
template <class T>
concept permutes_two = requires(T& t) { permute(t, {0, 1}); };
template <class T>
concept permutes_three = requires(T& t) { permute(t, {0, 1, 2}); };

tensor<int, 3> one_to_24() { return reshape(arange<int>(1, 25), {4, 2, 3}); }

}  // namespace

BOOST_AUTO_TEST_SUITE(tinygpt)

BOOST_AUTO_TEST_CASE(test_Buffer) {
  for (int v = -10; v < 10; ++v) {
    const tensor<int, 0> i(v);
    const tensor<float, 0> f(static_cast<float>(v));
    const tensor<bool, 0> b(v != 0);
    BOOST_TEST((i.shape() == shape_of<0>{} && i.strides() == strides_of<0>{} && i.offset() == 0 && i.rank == 0));
    BOOST_TEST((i.numel() == 1u && i[] == v && f[] == static_cast<float>(v) && b[] == (v != 0)));
    BOOST_TEST(evaluate(cast<bool>(i))[] == (v != 0));
  }
  const tensor one{-3, -2, -1, 0, 1, 2};
  const tensor two{{-3, -2, -1, 0, 1, 2}, {-3, -2, -1, 0, 1, 2}};
  const tensor three{{{-3, -2, -1, 0, 1, 2}, {-3, -2, -1, 0, 1, 2}}, {{-3, -2, -1, 0, 1, 2}, {-3, -2, -1, 0, 1, 2}}};
  const tensor four(expand(three, {2, 2, 2, 6}));
  const tensor five(expand(four, {2, 2, 2, 2, 6}));
  BOOST_TEST((one.shape() == shape_of<1>{6} && one.strides() == strides_of<1>{1} && one.numel() == 6u));
  BOOST_TEST((two.shape() == shape_of<2>{2, 6} && two.strides() == strides_of<2>{6, 1} && two.numel() == 12u));
  BOOST_TEST((three.shape() == shape_of<3>{2, 2, 6} && three.strides() == strides_of<3>{12, 6, 1}));
  BOOST_TEST((four.strides() == strides_of<4>{24, 12, 6, 1} && four.numel() == 48u));
  BOOST_TEST((five.strides() == strides_of<5>{48, 24, 12, 6, 1} && five.numel() == 96u));
  for (std::size_t i = 0; i < five.numel(); ++i) BOOST_TEST(five.data()[i] == one[i % 6]);
  BOOST_CHECK_THROW(((void)(tensor{{1, 2}, {3}})), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(tensor{{{1, 2, 3}, {4, 5, 6}}, {{7, 8, 9}, {10, 11}}})), std::invalid_argument);
  // the copy constructor of the original shares the data, as a view does; a copy of a tensor has its own
  tensor original{{1, 2, 3}};
  tensor_view shared(original);
  BOOST_TEST((shared.data() == original.data() && shared.shape() == original.shape()));
  tensor copied(original);
  BOOST_TEST((copied.data() != original.data() && same(copied, original)));
}

BOOST_AUTO_TEST_CASE(test_create_buffer_from_data) {
  counting<float> numbers(40);
  const auto a = numbers.view<1>({1}, {1}, 4);
  const auto b = numbers.view<4>({1, 4, 2, 2}, {8, 4, 2, 1}, 8);
  const auto c = numbers.view<1>({40}, {1});
  BOOST_TEST((a.numel() == 1u && a[0] == 4.0f));
  BOOST_TEST((b.numel() == 16u && b[0, 0, 0, 0] == 8.0f && b[0, 3, 1, 1] == 23.0f));
  BOOST_TEST((c.numel() == 40u && c[-1] == 39.0f));
  // lengths of shape and strides that differ do not compile; what a view may reach of its memory is not known to it
  BOOST_TEST(memory_span(b.shape(), b.strides()) == 16u);
}

BOOST_AUTO_TEST_CASE(test_index_to_flat_index) {
  const auto t = reshape(arange<int>(24), {4, 2, 3});
  int next = 0;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 3; ++k) BOOST_TEST((&t[i, j, k] - t.data()) == next++);
  counting<int> numbers(6, -1);
  const auto v = numbers.view<2>({2, 2}, {2, 1}, 2);
  BOOST_TEST((&v[0, 0] - numbers.data.data()) == 2);
  BOOST_TEST((&v[0, 1] - numbers.data.data()) == 3);
  BOOST_TEST((&v[1, 0] - numbers.data.data()) == 4);
  BOOST_TEST((&v[1, 1] - numbers.data.data()) == 5);
}

BOOST_AUTO_TEST_CASE(test_set) {
  std::vector<int> data{-1, -2, -3, -4, -5, -6};
  const tensor_view<int, 2> v(data.data() + 2, {2, 2}, {2, 1});
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) v[i, j] = (i + 1) * (j + 1);
  BOOST_TEST((data == std::vector<int>{-1, -2, 1, 2, 2, 4}));
  tensor<int, 0> scalar(1);
  scalar[] = 2;
  BOOST_TEST(scalar[] == 2);
}

BOOST_AUTO_TEST_CASE(test_get) {
  std::vector<int> data{-1, -2, -3, -4, -5, -6};
  const tensor_view<int, 2> v(data.data() + 2, {2, 2}, {2, 1});
  BOOST_TEST((v[0, 0]) == -3);
  BOOST_TEST((v[0, 1]) == -4);
  BOOST_TEST((v[1, 0]) == -5);
  BOOST_TEST((v[1, 1]) == -6);
  BOOST_TEST((tensor<int, 0>(2)[]) == 2);
}

// The original's is not symmetric, ignores further dimensions in front and is used by nothing; ours is the rule that
// all operators follow, and is.
BOOST_AUTO_TEST_CASE(test_broadcastable) {
  const auto fits = []<std::size_t A, std::size_t B>(shape_of<A> a, shape_of<B> b) {
    bool one = true, other = true;
    try {
      (void)broadcast_shapes(a, b);
    } catch (const std::invalid_argument&) {
      one = false;
    }
    try {
      (void)broadcast_shapes(b, a);
    } catch (const std::invalid_argument&) {
      other = false;
    }
    BOOST_TEST(one == other);
    return one;
  };
  BOOST_TEST(fits(shape_of<1>{0}, shape_of<1>{0}));
  BOOST_TEST(fits(shape_of<0>{}, shape_of<0>{}));
  BOOST_TEST(fits(shape_of<1>{3}, shape_of<1>{3}));
  BOOST_TEST(fits(shape_of<2>{2, 3}, shape_of<2>{2, 3}));
  for (std::size_t n = 1; n <= 10; ++n) BOOST_TEST(fits(shape_of<0>{}, shape_of<1>{n}));
  BOOST_TEST(fits(shape_of<2>{4, 1}, shape_of<3>{1, 4, 1}));
  BOOST_TEST(fits(shape_of<2>{4, 1}, shape_of<1>{4}));
  BOOST_TEST(fits(shape_of<3>{2, 2, 1}, shape_of<2>{2, 1}));
  BOOST_TEST(!fits(shape_of<1>{0}, shape_of<1>{2}));
  BOOST_TEST(!fits(shape_of<1>{2}, shape_of<1>{3}));
  BOOST_TEST(!fits(shape_of<1>{4}, shape_of<1>{3}));
  BOOST_TEST(!fits(shape_of<2>{1, 4}, shape_of<2>{1, 3}));
  BOOST_TEST(!fits(shape_of<3>{3, 2, 1}, shape_of<3>{2, 2, 1}));
}

// Dimensions of size 1 have no say here: what the original calls not contiguous because of them, is.
BOOST_AUTO_TEST_CASE(test_is_contiguous) {
  counting<int> n(40);
  BOOST_TEST((tensor<int, 0>(3).is_contiguous()));
  BOOST_TEST((n.view<1>({14}, {1}).is_contiguous()));
  BOOST_TEST((n.view<3>({1, 4, 3}, {12, 3, 1}).is_contiguous()));
  BOOST_TEST((n.view<5>({1, 1, 4, 3, 1}, {12, 12, 3, 1, 1}, 1).is_contiguous()));
  for (std::size_t o = 0; o < 3; ++o) BOOST_TEST((n.view<4>({1, 2, 3, 1}, {6, 3, 1, 1}, o).is_contiguous()));
  BOOST_TEST((n.view<2>({3, 4}, {4, 1}).is_contiguous()));
  BOOST_TEST((!n.view<1>({2}, {2}).is_contiguous()));
  BOOST_TEST((!n.view<2>({4, 3}, {1, 4}).is_contiguous()));
  BOOST_TEST((!n.view<1>({4}, {0}).is_contiguous()));
  // another outcome:
  BOOST_TEST((n.view<3>({1, 4, 1}, {0, 1, 0}).is_contiguous()));
  BOOST_TEST((n.view<5>({1, 1, 4, 1, 1}, {0, 0, 1, 0, 0}, 1).is_contiguous()));
  for (std::size_t o = 0; o < 3; ++o) BOOST_TEST((n.view<4>({1, 2, 2, 1}, {0, 2, 1, 0}, o).is_contiguous()));
  BOOST_TEST((n.view<1>({1}, {4}).is_contiguous()));
  BOOST_TEST((n.view<2>({1, 1}, {2, 2}).is_contiguous()));
}

BOOST_AUTO_TEST_CASE(test_get_contiguous_data) {
  counting<int> n(40);
  const auto data_of = [](const auto& view) {
    const tensor copied(view);
    BOOST_TEST(copied.data() != view.data());
    return std::vector<int>(copied.begin(), copied.end());
  };
  BOOST_TEST((data_of(tensor{1, 2, 3, 4, 5, 6}) == std::vector<int>{1, 2, 3, 4, 5, 6}));
  for (int i = 0; i < 3; ++i) {
    const auto o = static_cast<std::size_t>(i);
    const std::vector<int> four{i, i + 1, i + 2, i + 3};
    BOOST_TEST((data_of(n.view<3>({1, 4, 1}, {0, 1, 0}, o)) == four));
    BOOST_TEST((data_of(n.view<4>({1, 2, 2, 1}, {0, 2, 1, 0}, o)) == four));
  }
  counting<int> small(4, 1);
  BOOST_TEST((data_of(small.view<1>({2}, {2})) == std::vector<int>{1, 3}));
  BOOST_TEST((data_of(small.view<1>({1}, {4})) == std::vector<int>{1}));
  BOOST_TEST((data_of(small.view<2>({1, 1}, {2, 2})) == std::vector<int>{1}));
  BOOST_TEST((data_of(n.view<2>({3, 4}, {4, 1})) == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  BOOST_TEST((data_of(n.view<2>({4, 3}, {1, 4})) == std::vector<int>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11}));
}

BOOST_AUTO_TEST_CASE(test_numel) {
  counting<int> n(40);
  BOOST_TEST((n.view<1>({24}, {1}).numel()) == 24u);
  for (std::ptrdiff_t s = 0; s < 3; ++s) {
    BOOST_TEST((n.view<3>({1, 1, 1}, {s, s, s}).numel()) == 1u);
    BOOST_TEST((n.view<1>({2}, {s}).numel()) == 2u);
    BOOST_TEST((n.view<2>({2, 2}, {s, 1}).numel()) == 4u);
  }
  BOOST_TEST((n.view<2>({3, 2}, {2, 1}).numel()) == 6u);
  BOOST_TEST((tensor<bool, 0>(true).numel()) == 1u);
  BOOST_TEST((tensor<double, 0>(-3.14).numel()) == 1u);
}

BOOST_AUTO_TEST_CASE(test_it) {
  counting<int> n(24);
  BOOST_TEST((elements(n.view<1>({24}, {1})) == n.data));
  for (std::size_t o = 0; o < 10; ++o) {
    const std::vector<int> rest(n.data.begin() + static_cast<std::ptrdiff_t>(o), n.data.end());
    const auto v = n.view<1>({24 - o}, {1}, o);
    BOOST_TEST((elements(v) == rest));
    BOOST_TEST((elements(reshape(v, {1, 24 - o})) == rest));
    BOOST_TEST((elements(reshape(v, {1, 24 - o, 1})) == rest));
    BOOST_TEST((elements(reshape(v, {1, 1, 24 - o, 1, 1})) == rest));
  }
  BOOST_TEST((elements(n.view<2>({2, 2}, {2, 1})) == std::vector<int>{0, 1, 2, 3}));
  BOOST_TEST((elements(n.view<2>({2, 2}, {1, 2})) == std::vector<int>{0, 2, 1, 3}));
  BOOST_TEST((elements(n.view<2>({2, 2}, {1, 2}, 1)) == std::vector<int>{1, 3, 2, 4}));
  tensor<int, 0> scalar(5);
  BOOST_TEST((elements(scalar.view()) == std::vector<int>{5}));
}

// The original refuses operands of different element types and shapes; ours have C++'s conversions and broadcast. Its /
// of integers is a real number: true_divide here.
BOOST_AUTO_TEST_CASE(test_binary_ops) {
  for (int x = -3; x <= 3; ++x)
    for (int y = -3; y <= 3; ++y) {
      const tensor<int, 0> a(x), b(y);
      const tensor<float, 0> f(static_cast<float>(y));
      const tensor<bool, 0> p(x != 0), q(y != 0);
      BOOST_TEST(((a + b)[] == x + y && (a - b)[] == x - y && (a * b)[] == x * y));
      BOOST_TEST(((a < b)[] == (x < y) && (a <= b)[] == (x <= y) && (a > b)[] == (x > y)));
      BOOST_TEST(((a >= b)[] == (x >= y) && (a == b)[] == (x == y) && (a != b)[] == (x != y)));
      BOOST_TEST(((a + y)[] == x + y && (x - b)[] == x - y && (x < b)[] == (x < y) && (y == a)[] == (x == y)));
      BOOST_TEST(((a + f)[] == static_cast<float>(x + y)));  // another outcome: they may differ
      BOOST_TEST(((p + q)[] == (x != 0) + (y != 0) && (p * q)[] == (x != 0 && y != 0)));
      if (y != 0) {
        BOOST_TEST(true_divide(a, b)[] == static_cast<double>(x) / y);
        BOOST_TEST((a / b)[] == x / y);
      } else {
        BOOST_CHECK_THROW(((void)(((a / b)[]))), std::domain_error);
        BOOST_CHECK_THROW(((void)(((a / 0)[]))), std::domain_error);
      }
    }
  const auto check = [](const auto& t) {
    BOOST_TEST((same(t + t, t * 2) && all(t - t == 0) && all(t == t) && !any(t != t) && !any(t < t)));
    BOOST_TEST((t + t).shape() == t.shape());
  };
  check(tensor{1});
  check(tensor{0});
  check(tensor{{423, 214, 5734, 434}});
  check(tensor{{{{1}, {2}}, {{3}, {4}}}});
  BOOST_CHECK_THROW(((void)(evaluate(tensor{0} / tensor{0}))), std::domain_error);
  BOOST_TEST((tensor<int, 0>(1) + tensor{{423, 214}}).numel() == 2u);  // another outcome: broadcasts
  static_assert(!addable<tensor<int, 1>, std::vector<int>> && !addable<tensor<int, 1>, std::array<int, 1>> &&
                !addable<tensor<int, 1>, std::nullptr_t> && !addable<tensor<int, 1>, const char*>);
}

BOOST_AUTO_TEST_CASE(test_unary_ops) {
  for (int x = -3; x <= 3; ++x) {
    BOOST_TEST((-tensor<int, 0>(x))[] == -x);
    BOOST_TEST(pow(tensor<int, 0>(x), 2)[] == x * x);
    BOOST_TEST((-tensor<float, 0>(static_cast<float>(x)))[] == static_cast<float>(-x));
    static_assert(std::is_same_v<decltype(-tensor<bool, 0>())::value_type, int>);
    BOOST_TEST((-tensor<bool, 0>(x != 0))[] == -(x != 0));
    BOOST_TEST(pow(tensor<bool, 0>(x != 0), 2)[] == (x != 0));
  }
  BOOST_TEST(same(-tensor{{423, 214}, {5734, 434}}, tensor{{-423, -214}, {-5734, -434}}));
  BOOST_TEST(same(pow(tensor{{1.0f}, {3.0f}}, 2), tensor{{1.0f}, {9.0f}}));
}

// Where the original copies because the elements are not contiguous, ours is a view if strides allow it, and refuses
// otherwise. One extent may be -1.
BOOST_AUTO_TEST_CASE(test_reshape) {
  for (int x = -3; x <= 3; ++x) {
    tensor<int, 0> s(x);
    BOOST_TEST((reshape(s, {1, 1}).data() == s.data() && reshape(s, {1, 1, 1, 1})[0, 0, 0, 0] == x));
  }
  auto four = arange<int>(1, 5);
  BOOST_TEST((reshape(four, {2, 2}).data() == four.data() && same(reshape(four, {2, 2}), tensor{{1, 2}, {3, 4}})));
  BOOST_TEST(
      same(reshape(four, {1, 2, 1, 1, 2, 1}), tensor<int, 6>(reshape(reshape(four, {2, 2}), {1, 2, 1, 1, 2, 1}))));
  auto twelve = arange<int>(1, 13);
  BOOST_TEST(same(reshape(twelve, {4, 3}), tensor{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}}));
  BOOST_TEST(same(reshape(twelve, {2, 2, 3}), tensor{{{1, 2, 3}, {4, 5, 6}}, {{7, 8, 9}, {10, 11, 12}}}));
  BOOST_TEST(same(reshape(twelve, {2, 1, 2, 1, 3}), reshape(reshape(twelve, {3, 4}), {2, 1, 2, 1, 3})));
  counting<int> n(50);
  for (int o = 0; o < 3; ++o) {
    const auto offset = static_cast<std::size_t>(o);
    const auto six = reshape(n.view<1>({12}, {2}, offset), {6, 2});  // another outcome: a view
    BOOST_TEST((six.data() == n.data.data() + o && six[5, 1] == o + 22));
    const auto two = reshape(n.view<1>({6}, {4}, offset), {2, 3});
    BOOST_TEST(same(two, tensor{{o, o + 4, o + 8}, {o + 12, o + 16, o + 20}}));
    BOOST_TEST(reshape(n.view<2>({1, 1}, {2, 2}, offset), {})[] == o);
  }
  BOOST_TEST(same(reshape(four, {4, -1}), tensor{{1}, {2}, {3}, {4}}));  // another outcome
  BOOST_TEST(same(reshape(four, {-1}), four));                           // another outcome
  BOOST_CHECK_THROW(((void)(reshape(four, {4, 0}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(four, {-2, -2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(four, {1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(four, {2, 2, 1, 1, 2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(four, {12}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(four, {4, 3, 2, 1}))), std::invalid_argument);
}

// Expanding elements that are not contiguous is a view, too. There may be more dimensions in front.
BOOST_AUTO_TEST_CASE(test_expand) {
  tensor<int, 0> s(7);
  BOOST_TEST((expand(s, {}).data() == s.data()));
  auto four = arange<int>(1, 5);
  BOOST_TEST((expand(four, {4}).data() == four.data() && expand(four, {4}).is_contiguous()));
  for (int k = 1; k <= 5; ++k) {
    auto column = reshape(four, {4, 1});
    auto row = reshape(four, {1, 4});
    const auto wide = expand(column, {4, k});
    const auto tall = expand(row, {k, 4});
    BOOST_TEST((wide.data() == four.data() && wide.offset() == 0 && wide.is_contiguous() == (k == 1)));
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < k; ++j) BOOST_TEST((wide[i, j] == i + 1 && tall[j, i] == i + 1));
    auto twelve = arange<int>(1, 13);
    const auto deep = expand(reshape(twelve, {3, 4, 1}), {3, 4, k});
    BOOST_TEST((deep[2, 3, k - 1]) == 12);
    counting<int> n(20);
    for (int o = 0; o < 3; ++o)
      BOOST_TEST((expand(n.view<2>({6, 1}, {2, 1}, static_cast<std::size_t>(o)), {6, k})[5, k - 1]) == o + 10);
  }
  auto row = reshape(four, {1, 4});
  BOOST_CHECK_THROW(((void)(expand(row, {4, -1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(expand(row, {4, 0}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(expand(row, {-2, -2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(expand(row, {2, 2, 1, 1, 2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(expand(row, {4, 3, 2, 1}))), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(test_generate_indexes) {
  // unflatten gives the indices in row-major order
  BOOST_TEST((unflatten(0, shape_of<0>{}) == shape_of<0>{}));
  for (std::size_t i = 0; i < 10; ++i) BOOST_TEST((unflatten(i, shape_of<1>{10}) == shape_of<1>{i}));
  std::size_t next = 0;
  for (std::size_t i = 0; i < 20; ++i)
    for (std::size_t j = 0; j < 2; ++j)
      for (std::size_t k = 0; k < 3; ++k)
        BOOST_TEST((unflatten(next++, shape_of<3>{20, 2, 3}) == shape_of<3>{i, j, k}));
}

// Reduced dimensions stay with keepdims only; negative axes count from the last; all elements make a plain value.
BOOST_AUTO_TEST_CASE(test_reduce_sum) {
  const auto nine = arange<int>(9);
  BOOST_TEST(same(sum(nine, axes<0>, keepdims), tensor{36}));
  const tensor two{{1, 2, 3}, {4, 5, 6}};
  BOOST_TEST(same(sum(two, axes<0>, keepdims), tensor{{5, 7, 9}}));
  BOOST_TEST(same(sum(two, axes<1>, keepdims), tensor{{6}, {15}}));
  BOOST_TEST(same(sum(two, axes<-1>, keepdims), tensor{{6}, {15}}));  // another outcome
  BOOST_TEST(same(sum(two, axes<0>), tensor{5, 7, 9}));               // as its document says
  const tensor three{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}};
  BOOST_TEST(same(sum(three, axes<0>, keepdims), tensor{{{6, 8}, {10, 12}}}));
  BOOST_TEST(same(sum(three, axes<1>, keepdims), tensor{{{4, 6}}, {{12, 14}}}));
  BOOST_TEST(same(sum(three, axes<2>, keepdims), tensor{{{3}, {7}}, {{11}, {15}}}));
  static_assert(!has_axis<tensor<int, 3>, 4> && !has_axis<tensor<int, 0>, 0>);
  BOOST_TEST(sum(tensor{true, true, false}) == 2u);  // another outcome: it counts
}

BOOST_AUTO_TEST_CASE(test_reduce_max) {
  BOOST_TEST(same(max(arange<int>(9), axes<0>, keepdims), tensor{8}));
  const tensor two{{1, 2, 3}, {4, 5, 6}};
  BOOST_TEST(same(max(two, axes<0>, keepdims), tensor{{4, 5, 6}}));
  BOOST_TEST(same(max(two, axes<1>, keepdims), tensor{{3}, {6}}));
  const tensor three{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}};
  BOOST_TEST(same(max(three, axes<0>, keepdims), tensor{{{5, 6}, {7, 8}}}));
  BOOST_TEST(same(max(three, axes<1>, keepdims), tensor{{{3, 4}}, {{7, 8}}}));
  BOOST_TEST(same(max(three, axes<2>, keepdims), tensor{{{2}, {4}}, {{6}, {8}}}));
  static_assert(!has_axis<tensor<int, 2>, 4> && has_axis<tensor<int, 2>, -1> && !has_axis<tensor<int, 2>, -3>);
}

// The exponent may be a tensor, too.
BOOST_AUTO_TEST_CASE(test_pow) {
  BOOST_TEST(pow(tensor<double, 0>(3.0), 3.0)[] == 27.0);
  BOOST_TEST(same(pow(tensor{3.0, 5.0}, 3.0), tensor{27.0, 125.0}));
  BOOST_TEST(same(pow(tensor{3, 5}, 2), tensor{9, 25}));
  BOOST_TEST(same(pow(tensor{{3, 5, 5}}, 2), tensor{{9, 25, 25}}));
  BOOST_TEST(same(pow(tensor{{{3.0, 5.0, 5.0}}, {{3.0, 5.0, 5.0}}}, 3.0),
                  tensor{{{27.0, 125.0, 125.0}}, {{27.0, 125.0, 125.0}}}));
  BOOST_TEST(same(pow(tensor{2, 3}, tensor{3, 2}), tensor{8, 9}));  // another outcome
}

BOOST_AUTO_TEST_CASE(test_exp) {
  for (const double x : {3.0, 5.0, -2.0, 0.5}) {
    BOOST_TEST(std::abs(exp(tensor<double, 0>(x))[] - std::exp(x)) <= 1e-15 * std::abs(std::exp(x)));
    BOOST_TEST(std::abs((evaluate(exp(tensor{{{x}}}))[0, 0, 0]) - std::exp(x)) <= 1e-15 * std::abs(std::exp(x)));
  }
  BOOST_TEST((exp(tensor{1000.0})[0]) == INFINITY);  // another outcome: no OverflowError
}

BOOST_AUTO_TEST_CASE(test_log) {
  for (const double x : {3.0, 5.0, 0.5}) {
    BOOST_TEST(std::abs(log(tensor<double, 0>(x))[] - std::log(x)) <= 1e-15 * std::abs(std::log(x)));
    BOOST_TEST(std::abs((evaluate(log(tensor{{x}, {x}}))[1, 0]) - std::log(x)) <= 1e-15 * std::abs(std::log(x)));
  }
  BOOST_TEST((log(tensor{0.0})[0]) == -INFINITY);  // another outcome: no ValueError
  BOOST_TEST(std::isnan(log(tensor{-1.0})[0]));
}

BOOST_AUTO_TEST_CASE(test_maximum) {
  BOOST_TEST(maximum(tensor<double, 0>(3.0), tensor<double, 0>(5.0))[] == 5.0);
  BOOST_TEST(maximum(tensor<double, 0>(5.0), tensor<double, 0>(3.0))[] == 5.0);
  const auto check = [](const auto& a, const auto& b, const auto& expected) {
    BOOST_TEST((same(maximum(a, b), expected) && same(maximum(b, a), expected)));
  };
  check(tensor{3, 5}, tensor{6, 2}, tensor{6, 5});
  check(tensor{{-3, 1}, {4, 5}}, tensor{{0, 2}, {3, 5}}, tensor{{0, 2}, {4, 5}});
  check(tensor{{{3, 2, 5}}, {{1, 1, 1}}}, tensor{{{1, 5, 15}}, {{3, 5, 5}}}, tensor{{{3, 5, 15}}, {{3, 5, 5}}});
}

BOOST_AUTO_TEST_CASE(test_float) {
  BOOST_TEST(cast<float>(tensor<int, 0>(0))[] == 0.0f);
  BOOST_TEST(same(cast<float>(tensor{0, 13}), tensor{0.0f, 13.0f}));
  BOOST_TEST(same(cast<float>(tensor{false, true}), tensor{0.0f, 1.0f}));
  BOOST_TEST(same(cast<float>(tensor{{3, 5, 0}, {3, 5, 0}}), tensor{{3.0f, 5.0f, 0.0f}, {3.0f, 5.0f, 0.0f}}));
  BOOST_TEST(same(
      cast<float>(tensor{{1.2f, 0.8f, 0.0f}, {1.0f, -1.0f, 0.0f}} > tensor{{1.0f, 1.0f, 0.0f}, {12.0f, 0.0f, 2.0f}}),
      tensor{{1.0f, 0.0f, 0.0f}, {0.0f, 0.0f, 0.0f}}));
  const tensor t{{1, 2}, {3, 4}};
  BOOST_TEST(cast<float>(t[1, range{1, 2}])[0] == 4.0f);  // the original reads another element of such a view
}

BOOST_AUTO_TEST_CASE(test_uniform) {
  std::mt19937 engine{1};
  const auto check = [](const auto& t) { BOOST_TEST(all(t >= 0.0f && t <= 1.0f)); };
  check(uniform<float>({}, engine));
  check(uniform<float>({54}, engine));
  check(uniform<float>({16, 32}, engine));
  check(uniform<float>({12, 13, 7}));
  static_assert(std::is_same_v<decltype(uniform<float>({12, 13, 7})), tensor<float, 3>>);
  BOOST_CHECK_THROW(((void)(uniform<float>({-1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(uniform<float>({1, -1, 3}))), std::invalid_argument);
  BOOST_TEST((uniform<float>({1, 2, 3, 0}).numel()) == 0u);  // another outcome: there are tensors without elements
}

BOOST_AUTO_TEST_CASE(test_normal) {
  std::mt19937 engine{1};
  BOOST_TEST(std::abs(mean(normal<float>({54}, engine))) < 1.0f);
  BOOST_TEST(std::abs(mean(normal<float>({16, 32}, engine))) < 1.0f);
  BOOST_TEST((normal<float>({}, engine).shape() == shape_of<0>{}));
  BOOST_CHECK_THROW(((void)(normal<float>({-1}))), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(test_zeros) {
  const auto check = []<class T>(T zero) {
    BOOST_TEST((all(zeros<T>({54}) == zero) && all(zeros<T>({16, 32}) == zero) && all(zeros<T>({12, 13, 7}) == zero)));
    BOOST_TEST(zeros<T>({})[] == zero);
    BOOST_CHECK_THROW(((void)(zeros<T>({1, -1, 3}))), std::invalid_argument);
  };
  check(0.0f);
  check(0);
  check(false);
}

BOOST_AUTO_TEST_CASE(test_ones) {
  const auto check = []<class T>(T one) {
    BOOST_TEST((all(ones<T>({54}) == one) && all(ones<T>({16, 32}) == one) && all(ones<T>({12, 13, 7}) == one)));
    BOOST_TEST(ones<T>({})[] == one);
    BOOST_CHECK_THROW(((void)(ones<T>({-1}))), std::invalid_argument);
  };
  check(1.0f);
  check(1);
  check(true);
}

// Always a view; negative dimensions count from the last.
BOOST_AUTO_TEST_CASE(test_permute) {
  static_assert(permutes_two<tensor<int, 2>> && !permutes_one<tensor<int, 2>> && !permutes_three<tensor<int, 2>>);
  tensor two{{1, 2, 3}, {4, 5, 6}};
  BOOST_CHECK_THROW(((void)(permute(two, {0, 3}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(permute(two, {0, 0}))), std::invalid_argument);
  auto one = tensor{3, 5};
  BOOST_TEST(same(permute(one, {0}), one));
  BOOST_TEST(same(permute(two, {1, 0}), tensor{{1, 4}, {2, 5}, {3, 6}}));
  auto t = one_to_24();
  BOOST_TEST(same(permute(t, {0, 1, 2}), t));
  BOOST_TEST(same(permute(t, {0, 2, 1})[0], tensor{{1, 4}, {2, 5}, {3, 6}}));
  BOOST_TEST(same(permute(t, {0, 2, 1})[1], tensor{{7, 10}, {8, 11}, {9, 12}}));
  BOOST_TEST(same(permute(t, {1, 0, 2})[0], tensor{{1, 2, 3}, {7, 8, 9}, {13, 14, 15}, {19, 20, 21}}));
  BOOST_TEST(same(permute(t, {1, 2, 0}), tensor{{{1, 7, 13, 19}, {2, 8, 14, 20}, {3, 9, 15, 21}},
                                                {{4, 10, 16, 22}, {5, 11, 17, 23}, {6, 12, 18, 24}}}));
  BOOST_TEST(same(
      permute(t, {2, 1, 0}),
      tensor{{{1, 7, 13, 19}, {4, 10, 16, 22}}, {{2, 8, 14, 20}, {5, 11, 17, 23}}, {{3, 9, 15, 21}, {6, 12, 18, 24}}}));
  BOOST_TEST(same(permute(t, {2, 0, 1})[0], tensor{{1, 4}, {7, 10}, {13, 16}, {19, 22}}));
  counting<int> n(64);
  BOOST_TEST(same(permute(n.view<1>({4}, {4}), {0}), tensor{0, 4, 8, 12}));
  BOOST_TEST(same(permute(n.view<2>({3, 2}, {4, 1}), {1, 0}), tensor{{0, 4, 8}, {1, 5, 9}}));
  const auto v = n.view<3>({3, 2, 2}, {4, 4, 1});
  BOOST_TEST(same(permute(v, {0, 2, 1}), tensor{{{0, 4}, {1, 5}}, {{4, 8}, {5, 9}}, {{8, 12}, {9, 13}}}));
  BOOST_TEST(same(permute(v, {1, 0, 2}), tensor{{{0, 1}, {4, 5}, {8, 9}}, {{4, 5}, {8, 9}, {12, 13}}}));
  BOOST_TEST(same(permute(v, {1, 2, 0}), tensor{{{0, 4, 8}, {1, 5, 9}}, {{4, 8, 12}, {5, 9, 13}}}));
  BOOST_TEST(same(permute(v, {2, 1, 0}), tensor{{{0, 4, 8}, {4, 8, 12}}, {{1, 5, 9}, {5, 9, 13}}}));
  BOOST_TEST(same(permute(v, {2, 0, 1}), tensor{{{0, 4}, {4, 8}, {8, 12}}, {{1, 5}, {5, 9}, {9, 13}}}));
}

BOOST_AUTO_TEST_CASE(test_to_python) {
  const auto check = []<class T>(T v) {
    BOOST_TEST(((tensor<T, 0>(v).to_nested()) == v));
    BOOST_TEST((tensor<T, 1>{v}.to_nested() == std::vector<T>{v}));
    BOOST_TEST((zeros<T>({0}).to_nested() == std::vector<T>{}));
    BOOST_TEST((tensor<T, 1>{v, v, v}.to_nested() == std::vector<T>{v, v, v}));
    BOOST_TEST((tensor<T, 2>{{v, v}, {v, v}}.to_nested() == std::vector<std::vector<T>>{{v, v}, {v, v}}));
    BOOST_TEST((zeros<T>({2, 0}).to_nested() == std::vector<std::vector<T>>(2)));
  };
  for (const int v : {-1, 0, 1}) {
    check(v);
    check(static_cast<float>(v));
    check(v != 0);
  }
}

// Negative steps are allowed, and every slice is a view. Too many indices do not compile, nor does any on a scalar.
BOOST_AUTO_TEST_CASE(test_getitem) {
  static_assert(!indexable<tensor<int, 0>, int> && !indexable<tensor<int, 0>, all_t> && indexable<tensor<int, 0>>);
  static_assert(!indexable<tensor<int, 1>, int, int> && !indexable<tensor<int, 3>, int, int, int, int>);
  static_assert(!indexable<tensor<int, 1>, float> && !indexable<tensor<int, 1>, std::nullptr_t>);
  tensor t{3, 5, 6, 7, -1};
  for (int i = 0; i < 5; ++i) BOOST_TEST((t[i] == t.data()[i] && t[-(i + 1)] == t.data()[4 - i]));
  BOOST_TEST(same(t[all], t));
  BOOST_TEST(same(t[range{0, 5}], t));
  BOOST_TEST(same(t[range{0, -1}], tensor{3, 5, 6, 7}));
  BOOST_TEST(same(t[range{1, 2}], tensor{5}));
  BOOST_TEST(same(t[range{-2, -1}], tensor{7}));
  BOOST_TEST(same(t[range{0, 5, 2}], tensor{3, 6, -1}));
  BOOST_TEST(same(t[range{-5, 5, 2}], tensor{3, 6, -1}));
  for (const range& nothing : {range{-1, -1}, range{-1, -3}, range{2, 0}}) BOOST_TEST(t[nothing].numel() == 0u);
  BOOST_CHECK_THROW(((void)(t.at(5))), std::out_of_range);
  BOOST_CHECK_THROW(((void)(t.at(-6))), std::out_of_range);
  BOOST_TEST(same(t[range{all, all, -1}], tensor{-1, 7, 6, 5, 3}));  // another outcome

  auto a = one_to_24();
  int next = 1;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 3; ++k, ++next) BOOST_TEST((a[i, j, k] == next && a[i - 4, j - 2, k - 3] == next));
  BOOST_TEST(same(a[0, all, all], tensor{{1, 2, 3}, {4, 5, 6}}));
  BOOST_TEST(same(a[all, 0, all], tensor{{1, 2, 3}, {7, 8, 9}, {13, 14, 15}, {19, 20, 21}}));
  BOOST_TEST(same(a[all, all, 0], tensor{{1, 4}, {7, 10}, {13, 16}, {19, 22}}));
  BOOST_TEST(same(a[range{1, all}, range{-2, all}, range{1, 3}],
                  tensor{{{8, 9}, {11, 12}}, {{14, 15}, {17, 18}}, {{20, 21}, {23, 24}}}));
  BOOST_TEST(same(a[range{1, 3}, 1, range{0, 2}], tensor{{10, 11}, {16, 17}}));
  BOOST_TEST(same(a[range{1, 3}, range{1, all}, range{0, 2}], tensor{{{10, 11}}, {{16, 17}}}));
  for (const int i : {4, -5}) BOOST_CHECK_THROW(((void)(a[i, all, all])), std::out_of_range);
  for (const int j : {2, -3}) BOOST_CHECK_THROW(((void)(a[all, j, all])), std::out_of_range);
  for (const int k : {3, -4}) BOOST_CHECK_THROW(((void)(a[all, all, k])), std::out_of_range);

  const auto p = permute(a, {0, 2, 1});
  BOOST_TEST(same(p[all, 0, all], tensor{{1, 4}, {7, 10}, {13, 16}, {19, 22}}));
  BOOST_TEST(same(p[all, all, 0], tensor{{1, 2, 3}, {7, 8, 9}, {13, 14, 15}, {19, 20, 21}}));
  BOOST_TEST(same(p[range{1, all}, range{-2, all}, range{1, 3}], tensor{{{11}, {12}}, {{17}, {18}}, {{23}, {24}}}));
  BOOST_TEST(same(p[range{1, 3}, 1, range{0, 2}], tensor{{8, 11}, {14, 17}}));
  BOOST_TEST(same(p[range{1, 3}, range{1, all}, range{0, 2}], tensor{{{8, 11}, {9, 12}}, {{14, 17}, {15, 18}}}));
  BOOST_TEST((!p[all, 0, all].is_contiguous()));  // another outcome: a view, not a copy
  BOOST_TEST((&p[0, 1, 1] == &a[0, 1, 1]));
}

// Sides that overlap are correct, and a row is repeated over rows.
BOOST_AUTO_TEST_CASE(test_setitem) {
  tensor t{3, 5, 6, 7, -1};
  for (int i = 0; i < 5; ++i) t[i] = 0;
  BOOST_TEST(same(t, zeros<int>({5})));
  t[all] = tensor{1, 2, 3, 4, 5};
  BOOST_TEST(same(t, tensor{1, 2, 3, 4, 5}));
  t = tensor{3, 5, 6, 7, -1};
  t[range{0, -1}] = tensor{1, 2, 3, 4};
  BOOST_TEST(same(t, tensor{1, 2, 3, 4, -1}));
  t = tensor{3, 5, 6, 7, -1};
  t[range{1, 2}] = 0;
  BOOST_TEST(same(t, tensor{3, 0, 6, 7, -1}));
  t = tensor{3, 5, 6, 7, -1};
  t[range{0, 5, 2}] = tensor{0, 0, 0};
  BOOST_TEST(same(t, tensor{0, 5, 0, 7, 0}));
  for (const range& nothing : {range{-1, -1}, range{-1, -3}, range{2, 0}}) t[nothing] = 0;
  BOOST_TEST(same(t, tensor{0, 5, 0, 7, 0}));
  BOOST_CHECK_THROW(((void)((t[all] = tensor{1, 2, 3, 4, 5, 6}))), std::invalid_argument);
  auto whole = one_to_24();
  const auto check = [&](auto... index) {
    auto changed = one_to_24();
    const tensor negated(-whole);
    changed[index...] = negated[index...];
    BOOST_TEST(same(changed[index...], -whole[index...]));
    auto rest = changed.copy();
    rest[index...] = whole[index...];
    BOOST_TEST(same(rest, whole));
    auto turned = one_to_24();
    permute(turned, {0, 2, 1})[index...] = permute(negated, {0, 2, 1})[index...];  // writes are visible
    BOOST_TEST(same(permute(turned, {0, 2, 1})[index...], -permute(whole, {0, 2, 1})[index...]));
    BOOST_TEST(sum(abs(turned)) == sum(whole));
  };
  check(all, all, all);
  check(range{1, 3}, all, all);
  check(range{0, 4, 2}, all, all);
  check(0, all, all);
  check(all, 0, all);
  check(all, all, 0);
  check(range{1, all}, range{-2, all}, range{1, 3});
  check(range{2, 1}, all, all);
  auto shifted = arange<int>(6);
  shifted[range{1, all}] = shifted[range{0, -1}];
  BOOST_TEST(same(shifted, tensor{0, 0, 1, 2, 3, 4}));  // another outcome: not all 0
  auto rows = zeros<int>({2, 2});
  rows[all, all] = tensor{1, 2};
  BOOST_TEST(same(rows, tensor{{1, 2}, {1, 2}}));  // another outcome
}

BOOST_AUTO_TEST_CASE(test_concatenate) {
  static_assert(!concatenates<tensor<int, 0>, tensor<int, 0>> && !concatenates<tensor<int, 1>, tensor<int, 2>>);
  BOOST_TEST(same(concatenate<0>(tensor{0, 1, 0, -1}, tensor{1, 0, 1}), tensor{0, 1, 0, -1, 1, 0, 1}));
  BOOST_TEST(same(concatenate<0>(tensor{true, false}, tensor{true}), tensor{true, false, true}));
  BOOST_TEST((concatenate<0>(zeros<int>({1, 3, 2}), zeros<int>({4, 3, 2}), zeros<int>({3, 3, 2})).shape() ==
              shape_of<3>{8, 3, 2}));
  const tensor a{{1, 4}, {2, 5}, {3, 6}}, b{{1, 4}, {3, 6}};
  BOOST_TEST(same(concatenate<0>(a, b, a), tensor{{1, 4}, {2, 5}, {3, 6}, {1, 4}, {3, 6}, {1, 4}, {2, 5}, {3, 6}}));
  BOOST_TEST(same(concatenate<2>(tensor{{{1}}}, tensor{{{1, 4}}}, tensor{{{1, 1}}}), tensor{{{1, 1, 4, 1, 1}}}));
  BOOST_CHECK_THROW(((void)(concatenate<0>(zeros<int>({2, 3}), zeros<int>({2, 2})))), std::invalid_argument);
  BOOST_TEST(same(concatenate<0>(tensor{1}, tensor{0.5}), tensor{1.0, 0.5}));  // another outcome: converted
}

BOOST_AUTO_TEST_CASE(test_tril) {
  static_assert(!has_triangle<tensor<int, 0>> && !has_triangle<tensor<int, 1>>);
  auto t = reshape(arange<int>(1, 37), {2, 2, 3, 3});
  BOOST_TEST(same(tril(t[0, 0]), tensor{{1, 0, 0}, {4, 5, 0}, {7, 8, 9}}));
  const auto batched = evaluate(tril(t));
  BOOST_TEST(same(batched[1, 1], tensor{{28, 0, 0}, {31, 32, 0}, {34, 35, 36}}));
  BOOST_TEST(same(tril(t[0, 0], -1), tensor{{0, 0, 0}, {4, 0, 0}, {7, 8, 0}}));
  BOOST_TEST(same(tril(t[0, 0], 1), tensor{{1, 2, 0}, {4, 5, 6}, {7, 8, 9}}));
  for (int d = 3; d <= 8; ++d) {
    BOOST_TEST(same(tril(t, d), t));
    BOOST_TEST(all(tril(t, -d) == 0));
  }
}

BOOST_AUTO_TEST_CASE(test_DType) {
  for (int v = -2; v <= 2; ++v) {
    const tensor<int, 0> t(v);
    BOOST_TEST((cast<bool>(t)[] == (v != 0) && cast<float>(t)[] == static_cast<float>(v) && cast<int>(t)[] == v));
  }
  static_assert(std::is_same_v<decltype(tensor{1.0f}), tensor<float, 1>> && dtype_of<float> == "float32");
  static_assert(std::is_same_v<decltype(tensor{1}), tensor<int, 1>> && dtype_of<int> == "int32");
  static_assert(std::is_same_v<decltype(tensor{true}), tensor<bool, 1>> && dtype_of<bool> == "bool");
}

BOOST_AUTO_TEST_CASE(broadcasting_of_its_tensor_layer) {
  const tensor<double, 0> three(3.0);
  const tensor row{-2.0, -1.0, 3.0, 4.0};
  BOOST_TEST(same(three + row, tensor{1.0, 2.0, 6.0, 7.0}));
  BOOST_TEST(same(row - three, tensor{-5.0, -4.0, 0.0, 1.0}));
  BOOST_TEST(same(tensor{3.0} * tensor{{{-7.0, 9.0}}}, tensor{{{-21.0, 27.0}}}));
  BOOST_TEST(
      same(tensor{{3, 5, 13}} * tensor{{-7, 9, 341}, {14, -2, -342}}, tensor{{-21, 45, 4433}, {42, -10, -4446}}));
  BOOST_TEST(same(tensor{1, 2, 3} + tensor{{10}, {20}, {30}}, tensor{{11, 12, 13}, {21, 22, 23}, {31, 32, 33}}));
  BOOST_CHECK_THROW(((void)((zeros<int>({2, 3}) + zeros<int>({3, 2})))), std::invalid_argument);
  const tensor square{{1.0, 2.0}, {3.0, 4.0}};
  BOOST_TEST(same(sum(square, axes<0, 1>, keepdims), tensor{{10.0}}));
  BOOST_TEST((sum(square) == 10.0 && mean(square) == 2.5 && max(square) == 4.0));
  // a matrix product is a sum over products of broadcast operands: no memory but the result's
  tensor a{{1, 2}, {3, 4}}, b{{5, 6}, {7, 8}};
  BOOST_TEST(same(sum(reshape(a, {2, 2, 1}) * reshape(b, {1, 2, 2}), axes<1>), tensor{{19, 22}, {43, 50}}));
}

BOOST_AUTO_TEST_CASE(example_of_its_document) {
  auto buffer = zeros<float>({3, 3});
  buffer = buffer + 5.0f;
  buffer[1, 1] = 10.0f;
  auto reshaped = reshape(buffer, {9});
  const auto summed = sum(buffer, axes<0>);
  BOOST_TEST(same(buffer, tensor{{5.0f, 5.0f, 5.0f}, {5.0f, 10.0f, 5.0f}, {5.0f, 5.0f, 5.0f}}));
  BOOST_TEST(reshaped[4] == 10.0f);
  BOOST_TEST((summed.shape() == shape_of<1>{3} && same(summed, tensor{15.0f, 20.0f, 15.0f})));
  BOOST_TEST((buffer.strides() == strides_of<2>{3, 1}));
  tensor nine{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  BOOST_TEST((nine.shape() == shape_of<2>{3, 3} && nine.strides() == strides_of<2>{3, 1} && nine.offset() == 0));
  auto cube = zeros<int>({2, 3, 4});
  BOOST_TEST((permute(cube, {2, 0, 1}).shape() == shape_of<3>{4, 2, 3}));
}

BOOST_AUTO_TEST_SUITE_END()
