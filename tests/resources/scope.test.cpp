#include <algorithm>
#include <array>
#include <bitset>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <charconv>
#include <chrono>
#include <complex>
#include <cstddef>
#include <expected>
#include <functional>
#include <gsl/pointers>
#include <initializer_list>
#include <iterator>
#include <list>
#include <map>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <numeric>
#include <optional>
#include <queue>
#include <random>
#include <ranges>
#include <regex>
#include <span>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
import buffers;

using buffers::bump_resource;
using buffers::escapes;
using buffers::order_error;
using buffers::scope;
using buffers::slab_resource;

using resources = boost::mpl::list<bump_resource, slab_resource>;

namespace {

template <class R>
std::size_t used_inside(R& buffer) {
  scope inner{buffer};
  (void)buffer.allocate(100);
  return buffer.used();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scopes)

BOOST_AUTO_TEST_CASE_TEMPLATE(end_at_the_brace, R, resources) {
  R buffer;
  (void)buffer.allocate(16);
  {
    scope inner{buffer};
    BOOST_TEST(&inner.resource() == &buffer);
    (void)inner.resource().allocate(100);
    BOOST_TEST(buffer.used() == 116u);
  }
  BOOST_TEST(buffer.used() == 16u);
  BOOST_TEST(buffer.peak() == 116u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(end_on_return, R, resources) {
  R buffer;
  BOOST_TEST(used_inside(buffer) == 100u);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(end_on_break_and_continue, R, resources) {
  R buffer;
  (void)buffer.allocate(16);
  for (int i = 0; i < 3; ++i) {
    scope inner{buffer};
    (void)buffer.allocate(100);
    if (i == 0) continue;
    BOOST_TEST(buffer.used() == 116u);
    break;
  }
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(end_on_an_exception, R, resources) {
  R buffer;
  try {
    scope outer{buffer};
    (void)buffer.allocate(100);
    scope inner{buffer};
    (void)buffer.allocate(100'000);
    throw std::runtime_error("in a scope");
  } catch (const std::runtime_error&) {
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nest, R, resources) {
  R buffer;
  const void* second = nullptr;
  {
    scope outer{buffer};
    (void)buffer.allocate(16);
    {
      scope inner{buffer};
      second = buffer.allocate(32);
      {
        scope innermost{buffer};
        (void)buffer.allocate(64);
        BOOST_TEST(buffer.used() == 112u);
      }
      BOOST_TEST(buffer.used() == 48u);
    }
    BOOST_TEST(buffer.used() == 16u);
    BOOST_TEST(buffer.allocate(8) == second);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(scopes_of_two_buffers_are_independent) {
  bump_resource a;
  slab_resource b;
  std::optional<scope<bump_resource>> of_a(std::in_place, a);
  std::optional<scope<slab_resource>> of_b(std::in_place, b);
  (void)a.allocate(16);
  (void)b.allocate(32);
  of_a.reset();
  BOOST_TEST(a.used() == 0u);
  BOOST_TEST(b.used() == 32u);
  of_b.reset();
  BOOST_TEST(b.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_scope_stays_where_it_is) {
  static_assert(!std::is_copy_constructible_v<scope<slab_resource>>);
  static_assert(!std::is_move_constructible_v<scope<slab_resource>>);
  static_assert(!std::is_copy_assignable_v<scope<slab_resource>>);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nothing_is_restored_past_an_open_scope, R, resources) {
  R buffer;
  const auto before = buffer.checkpoint();
  (void)buffer.allocate(16);
  scope inner{buffer};
  (void)buffer.allocate(16);
  BOOST_CHECK_THROW(buffer.restore(before), order_error);
  BOOST_TEST(buffer.used() == 32u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_inside_a_scope_can_be_restored, R, resources) {
  R buffer;
  scope inner{buffer};
  (void)buffer.allocate(16);
  const auto cp = buffer.checkpoint();
  (void)buffer.allocate(16);
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 16u);
}

// As many as are remembered.
BOOST_AUTO_TEST_CASE_TEMPLATE(dead_checkpoints_with_live_ones_in_between, R, resources) {
  constexpr std::size_t rounds = BUFFERS_HARDENED ? 64 : 4;
  R buffer;
  std::vector<typename R::checkpoint_type> live, dead;
  for (std::size_t i = 0; i < rounds; ++i) {
    live.push_back(buffer.checkpoint());
    (void)buffer.allocate(64);
    dead.push_back(buffer.checkpoint());
    buffer.restore(live.back());
    (void)buffer.allocate(16);
  }
  (void)buffer.allocate(100);
  for (const auto& cp : dead) BOOST_CHECK_THROW(buffer.restore(cp), order_error);
  BOOST_TEST(buffer.used() == 16 * rounds + 100);
  for (std::size_t i = rounds; i-- > 0;) {
    buffer.restore(live[i]);
    BOOST_TEST(buffer.used() == 16 * i);
  }
}

// The block is the newest again, and nothing could still cut it.
BOOST_AUTO_TEST_CASE_TEMPLATE(a_block_from_before_a_closed_scope_grows, R, resources) {
  R buffer;
  void* const block = buffer.allocate(48);
  {
    scope inner{buffer};
    (void)buffer.allocate(40, 32);
    BOOST_TEST(!buffer.try_expand(block, 48, 96));
  }
  BOOST_TEST(buffer.try_expand(block, 48, 96));
  const auto cp = buffer.checkpoint();
  (void)buffer.allocate(16);
  buffer.restore(cp);
  BOOST_TEST(!buffer.try_expand(block, 96, 112));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_of_a_closed_scope_are_dead, R, resources) {
  R buffer;
  std::optional<decltype(buffer.checkpoint())> cp;
  {
    scope inner{buffer};
    (void)buffer.allocate(16);
    cp = buffer.checkpoint();
    (void)buffer.allocate(16);
  }
  (void)buffer.allocate(64);
  BOOST_CHECK_THROW(buffer.restore(*cp), order_error);
  BOOST_TEST(buffer.used() == 64u);
  {
    scope again{buffer};
    (void)buffer.allocate(16);
    (void)buffer.checkpoint();
    BOOST_CHECK_THROW(buffer.restore(*cp), order_error);
    BOOST_TEST(buffer.used() == 80u);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(checkpoints_from_before_a_scope_live_on, R, resources) {
  R buffer;
  (void)buffer.allocate(16);
  const auto cp = buffer.checkpoint();
  for (int i = 0; i < 10; ++i) {
    scope inner{buffer};
    (void)buffer.allocate(16);
    (void)buffer.checkpoint();
  }
  (void)buffer.allocate(16);
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(no_reset_or_release_while_a_scope_is_open, R, resources) {
  R buffer;
  {
    scope inner{buffer};
    (void)buffer.allocate(16);
    BOOST_CHECK_THROW(buffer.reset(), order_error);
    BOOST_CHECK_THROW(buffer.release(), order_error);
    BOOST_TEST(buffer.used() == 16u);
  }
  buffer.reset();
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(blocks_from_before_a_scope_count_again_when_it_ends, R, resources) {
  R buffer;
  void* const a = buffer.allocate(16);
  {
    scope inner{buffer};
    buffer.deallocate(a, 16);
    BOOST_TEST(buffer.used() == 0u);
    BOOST_TEST(buffer.allocate(16) == a);
  }
  BOOST_TEST(buffer.used() == 16u);
  BOOST_TEST(buffer.allocate(16) != a);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(blocks_of_the_scope_itself_are_given_back_in_it, R, resources) {
  R buffer;
  scope inner{buffer};
  for (int i = 0; i < 10; ++i) buffer.deallocate(buffer.allocate(1000, 64), 1000, 64);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(an_over_aligned_block_leaves_no_padding_behind, R, resources) {
  R buffer;
  (void)buffer.allocate(8);
  for (int i = 0; i < 3; ++i) {
    {
      scope inner{buffer};
      void* const block = buffer.allocate(8, 1024);
      buffer.deallocate(block, 8, 1024);
    }
    BOOST_TEST(buffer.used() == 8u);
  }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(no_escapes)

BOOST_AUTO_TEST_CASE_TEMPLATE(gives_the_value_and_the_memory_back, R, resources) {
  R buffer;
  const int total = buffers::no_escape(buffer, [](auto& inside) {
    std::pmr::vector<int> numbers({1, 2, 3}, &inside);
    return std::accumulate(numbers.begin(), numbers.end(), 0);
  });
  BOOST_TEST(total == 6);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.peak() == 12u);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(passes_exceptions, R, resources) {
  R buffer;
  BOOST_CHECK_THROW(buffers::no_escape(buffer,
                                       [](R& inside) -> int {
                                         (void)inside.allocate(100);
                                         throw std::runtime_error("inside");
                                       }),
                    std::runtime_error);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(returns_nothing_and_what_cannot_be_copied) {
  slab_resource buffer;
  buffers::no_escape(buffer, [](slab_resource& inside) { (void)inside.allocate(8); });
  buffers::no_escape(buffer, [&] { (void)buffer.allocate(8); });
  BOOST_TEST(buffers::no_escape([] { return buffers::default_buffer().used() + 1; }) == 1u);
  const auto owned = buffers::no_escape(buffer, [](slab_resource&) { return std::make_unique<int>(4); });
  BOOST_TEST(*owned == 4);
  const auto text = buffers::no_escape(buffer, [](slab_resource& inside) {
    return std::string(std::pmr::string("long enough to lie on the heap, surely", &inside));
  });
  BOOST_TEST(text == "long enough to lie on the heap, surely");
}

struct plain {
  int i;
  double d;
};
struct pointing {
  int* p;
};

// What may not leave.
using view = std::mdspan<int, std::dextents<std::size_t, 2>>;
static_assert(escapes<int*> && escapes<const char*> && escapes<void*> && escapes<int* const>);
static_assert(escapes<int&> && escapes<const double&> && escapes<int&&>);
static_assert(escapes<scope<slab_resource>>);
template <class T, int N>
struct few {
  T elements[N];
};
static_assert(escapes<few<int*, 4>> && escapes<few<std::pmr::string, 2>> && !escapes<few<int, 4>>);
static_assert(escapes<std::array<int*, 4>> && !escapes<std::array<int, 4>> && !escapes<std::bitset<4>>);
static_assert(!escapes<std::mt19937> && !escapes<std::integral_constant<int, 4>>);
static_assert(escapes<std::span<int>> && escapes<std::span<std::byte, 4>> && escapes<std::string_view>);
static_assert(escapes<view> && escapes<const view> &&
              escapes<std::mdspan<float, std::extents<int, 3>, std::layout_left>>);
static_assert(escapes<std::pmr::vector<int>> && escapes<std::pmr::string> && escapes<std::pmr::list<int>> &&
              escapes<std::pmr::map<int, int>>);
static_assert(escapes<std::vector<int, buffers::allocator<int, slab_resource>>>);
static_assert(escapes<std::vector<int*>> && escapes<std::vector<std::pmr::string>> &&
              escapes<std::vector<std::string_view>>);
static_assert(escapes<std::pair<int, int*>> && escapes<std::pair<std::span<int>, int>>);
static_assert(escapes<std::tuple<int, double, view>> && !escapes<std::tuple<>>);
static_assert(escapes<std::optional<int*>> && escapes<std::optional<std::pmr::vector<int>>>);
static_assert(escapes<std::variant<int, std::string_view>> && escapes<std::expected<int, const char*>> &&
              escapes<std::expected<view, int>>);
static_assert(escapes<std::array<int*, 3>> && escapes<std::array<view, 2>>);
static_assert(escapes<std::reference_wrapper<int>>);
static_assert(escapes<std::vector<int>::iterator> && escapes<std::pmr::list<int>::const_iterator> &&
              escapes<std::back_insert_iterator<std::pmr::vector<int>>>);
static_assert(escapes<std::ranges::copy_result<int*, int*>> && escapes<std::ranges::min_max_result<const int*>> &&
              escapes<std::cmatch> && escapes<std::csub_match> && escapes<std::from_chars_result> &&
              escapes<std::to_chars_result> && escapes<std::pmr::vector<bool>::reference> &&
              escapes<std::vector<bool>::reference>);
static_assert(!escapes<std::ranges::min_max_result<int>> && !escapes<std::chrono::milliseconds> &&
              !escapes<std::complex<double>> && !escapes<std::bitset<8>> && !escapes<std::function<int*(int*)>> &&
              !escapes<std::map<std::string, std::vector<int>>> && !escapes<std::string>);
static_assert(escapes<std::pmr::polymorphic_allocator<>> && escapes<buffers::allocator<int, bump_resource>>);
static_assert(escapes<decltype(std::views::iota(0, 3))>);
static_assert(escapes<std::stack<int, std::pmr::vector<int>>> && escapes<std::queue<int*>> &&
              escapes<std::unique_ptr<std::pmr::string>> && escapes<std::unique_ptr<int*[]>> &&
              escapes<std::shared_ptr<std::string_view>> && escapes<gsl::not_null<int*>> &&
              escapes<std::initializer_list<int>>);

// Tensors and all that sees their elements, now or when it is evaluated.
using numbers = buffers::tensor<float, 2>;
static_assert(escapes<numbers> && escapes<buffers::tensor_view<float, 1>> &&
              escapes<buffers::tensor_view<const int, 3>>);
template <class F>
inline constexpr bool result_escapes = escapes<std::invoke_result_t<F, numbers&>>;
static_assert(result_escapes<decltype([](numbers& t) { return t[buffers::all, 0]; })>);
static_assert(result_escapes<decltype([](numbers& t) { return transpose(t); })>);
static_assert(result_escapes<decltype([](numbers& t) { return t + t; })>);
static_assert(result_escapes<decltype([](numbers& t) { return exp(t * 2.0f); })>);
static_assert(result_escapes<decltype([](numbers& t) { return sum(t, buffers::axes<0>); })>);
static_assert(result_escapes<decltype([](numbers& t) { return argmax(t, buffers::axes<1>); })>);
static_assert(result_escapes<decltype([](numbers& t) { return where(t > 0.0f, t, 0.0f); })>);
static_assert(result_escapes<decltype([](numbers& t) { return buffers::concatenate<0>(t, t); })>);
static_assert(result_escapes<decltype([](numbers& t) { return tril(t); })>);
static_assert(result_escapes<decltype([](numbers& t) { return std::pair(1, -t); })>);

// What may.
static_assert(!escapes<int> && !escapes<double> && !escapes<bool> && !escapes<void>);
static_assert(!escapes<std::string> && !escapes<std::vector<int>> && !escapes<std::vector<std::string>> &&
              !escapes<std::map<int, std::string>>);
static_assert(!escapes<plain> && !escapes<std::unique_ptr<int>> && !escapes<std::unique_ptr<int[]>> &&
              !escapes<std::shared_ptr<std::string>> && !escapes<std::stack<int>> &&
              !escapes<std::priority_queue<std::string>>);
static_assert(!result_escapes<decltype([](numbers& t) { return sum(t); })> &&
              !result_escapes<decltype([](numbers& t) { return t.to_nested(); })>);
static_assert(!escapes<std::pair<int, double>> && !escapes<std::tuple<int, std::string>> &&
              !escapes<std::array<int, 3>> && !escapes<std::optional<int>> && !escapes<std::variant<int, float>> &&
              !escapes<std::expected<int, std::string>>);
static_assert(!escapes<void (*)(int)>);

BOOST_AUTO_TEST_SUITE_END()

namespace buffers {
template <>
inline constexpr bool escapes<no_escapes::pointing> = true;
}

BOOST_AUTO_TEST_SUITE(no_escapes)

template <class R, class F>
concept runs = requires(R& resource, F f) { buffers::no_escape(resource, f); };
template <class F>
concept runs_on_default = requires(F f) { buffers::no_escape(f); };

BOOST_AUTO_TEST_CASE(a_call_that_lets_something_out_does_not_compile) {
  const auto number = [](slab_resource&) { return 1; };
  const auto pointer = [](slab_resource& buffer) { return static_cast<int*>(buffer.allocate(4)); };
  const auto array = [](slab_resource& buffer) { return buffers::alloc<int>(buffer, 2, 2); };
  const auto reference = [](slab_resource& buffer) -> int& { return *static_cast<int*>(buffer.allocate(4)); };
  const auto container = [](slab_resource& buffer) { return std::pmr::vector<int>(3, &buffer); };
  const auto several = [](slab_resource& buffer) { return std::tuple(1, buffers::alloc<int>(buffer, 2)); };
  const auto own_type = [](slab_resource&) { return pointing{nullptr}; };
  static_assert(runs<slab_resource, decltype(number)> && runs_on_default<decltype(number)>);
  static_assert(!runs<slab_resource, decltype(pointer)> && !runs_on_default<decltype(pointer)>);
  static_assert(!runs<slab_resource, decltype(array)> && !runs_on_default<decltype(array)>);
  static_assert(!runs<slab_resource, decltype(reference)> && !runs_on_default<decltype(reference)>);
  static_assert(!runs<slab_resource, decltype(container)> && !runs_on_default<decltype(container)>);
  static_assert(!runs<slab_resource, decltype(several)> && !runs_on_default<decltype(several)>);
  static_assert(!runs<slab_resource, decltype(own_type)> && !runs_on_default<decltype(own_type)>);
  static_assert(!runs<std::pmr::memory_resource, decltype(number)>);
}

BOOST_AUTO_TEST_SUITE_END()
