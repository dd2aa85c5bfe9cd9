// Arithmetic, comparisons and functions of elements: each makes an expression, and computes nothing.
//
//     + - * / with C++'s arithmetic conversions      < <= > >= == != && || !      giving bool
//     pow exp log sqrt abs maximum minimum where true_divide      transform, with a function of yours
//
// Operands are tensors, views, expressions and plain values, of shapes that broadcast: std::invalid_argument, naming
// both, when they do not. An lvalue tensor or view, and a named expression that owns a temporary, is read where it is
// and must outlive the expression; other named expressions are copied; an rvalue is moved into it.
//
// Integers: + - * and abs wrap around; the least integer divided by -1 is itself; a division by zero is a
// std::domain_error. pow of integers multiplies, and with a negative exponent is 1 / pow. Functions that are real
// numbers by nature (exp, log, sqrt, true_divide) give double for integers.
//
// Threads: as expressions. The function given to transform may run on several threads at once, where the evaluation is
// asked to be `parallel`.
module;
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <type_traits>
#include <utility>
export module buffers.tensor:operations;
import buffers.core;
import :dtype;
import :expression;
import :kernels;

namespace buffers::detail {

[[noreturn]] void throw_division_by_zero();

// Integers as unsigned ones, which may overflow. At least as wide as int, so that nothing is promoted again.
template <class R>
using modular = std::make_unsigned_t<R>;

template <class T>
using real = std::conditional_t<std::is_integral_v<T>, double, T>;

template <class A, class B>
using common = decltype(A{} + B{});

struct add {
  static auto apply(auto a, auto b) {
    using R = common<decltype(a), decltype(b)>;
    if constexpr (std::is_integral_v<R>)
      return static_cast<R>(static_cast<modular<R>>(a) + static_cast<modular<R>>(b));
    else
      return static_cast<R>(a) + static_cast<R>(b);
  }
};

struct subtract {
  static auto apply(auto a, auto b) {
    using R = common<decltype(a), decltype(b)>;
    if constexpr (std::is_integral_v<R>)
      return static_cast<R>(static_cast<modular<R>>(a) - static_cast<modular<R>>(b));
    else
      return static_cast<R>(a) - static_cast<R>(b);
  }
};

struct multiply_elements {
  static auto apply(auto a, auto b) {
    using R = common<decltype(a), decltype(b)>;
    if constexpr (std::is_integral_v<R>)
      return static_cast<R>(static_cast<modular<R>>(a) * static_cast<modular<R>>(b));
    else
      return static_cast<R>(a) * static_cast<R>(b);
  }
};

// By a divisor that is not zero, where they are integers.
struct quotient {
  static auto apply(auto a, auto b) {
    using R = common<decltype(a), decltype(b)>;
    const R x = static_cast<R>(a), y = static_cast<R>(b);  // NOLINT(bugprone-signed-char-misuse): numbers
    if constexpr (!std::is_integral_v<R>) {
      return x / y;
    } else if constexpr (sizeof(R) > sizeof(std::int32_t) || !divides_exactly) {
      if constexpr (std::is_signed_v<R>)
        if (y == -1) return static_cast<R>(modular<R>{0} - static_cast<modular<R>>(x));
      return static_cast<R>(x / y);
    } else {
      // Processors have no vectors for it. A floating-point number with more digits than x is never rounded up to a
      // whole one: x / y is at least 1 / y below that, which is more than the x-th part of it.
      constexpr bool are_small = sizeof(a) <= sizeof(std::int16_t) && sizeof(b) <= sizeof(std::int16_t);
      using wide = std::conditional_t<are_small, float, double>;
      const wide exact = static_cast<wide>(x) / static_cast<wide>(y);
      if constexpr (are_small || !std::is_signed_v<R>) {
        return static_cast<R>(exact);
      } else {
        using limits = std::numeric_limits<R>;
        return static_cast<R>(select(exact > limits::max(), static_cast<wide>(limits::min()), exact));
      }
    }
  }
};

struct divide {
  using in_rows = quotient;
  static auto apply(auto a, auto b) {
    using R = common<decltype(a), decltype(b)>;
    if constexpr (std::is_integral_v<R>)
      if (b == 0) [[unlikely]]
        throw_division_by_zero();
    return quotient::apply(a, b);
  }
  template <class A, class B>
    requires std::is_integral_v<common<A, B>>
  static bool fails(A, B b) {
    return static_cast<common<A, B>>(b) == 0;
  }
  [[noreturn]] static void fail() { throw_division_by_zero(); }
};

struct true_divide_elements {
  static auto apply(auto a, auto b) {
    using R = real<common<decltype(a), decltype(b)>>;
    return static_cast<R>(a) / static_cast<R>(b);
  }
};

struct square_root {
  static auto apply(auto a) {
    using R = real<decltype(a)>;
#if defined(__clang__)  // std::sqrt may set errno, and so is called one by one
    return static_cast<R>(__builtin_elementwise_sqrt(static_cast<R>(a)));
#else  // ... of what is negative; this way it sees that nothing is
    const R x = static_cast<R>(a);
    return x < 0 ? std::numeric_limits<R>::quiet_NaN() : static_cast<R>(std::sqrt(x));
#endif
  }
};

struct power {
  static auto apply(auto a, auto b) {
    using R = common<decltype(a), decltype(b)>;
    if constexpr (std::is_integral_v<R>) {
      return of_integers(static_cast<R>(a), b);
    } else {
      return of_reals(static_cast<R>(a), static_cast<R>(b));
    }
  }
  template <class A, class B>
    requires(std::is_integral_v<A> && std::is_signed_v<B> && std::is_integral_v<B>)
  static bool fails(A a, B b) {
    return a == 0 && b < 0;
  }
  [[noreturn]] static void fail() { throw_division_by_zero(); }

 private:
  // Usual exponents, for which a call takes fifty times as long. A float cubed in double is rounded once.
  template <class R>
  static R of_reals(R base, R exponent) {
    using wider = std::conditional_t<std::is_same_v<R, float>, double, R>;
    if (exponent == 2) return static_cast<R>(base * base);
    if (exponent == 3)
      return static_cast<R>(static_cast<wider>(base) * static_cast<wider>(base) * static_cast<wider>(base));
    if (exponent == R{0.5f})
      return base == -std::numeric_limits<R>::infinity() ? -base : square_root::apply(base + R{0});
    if (exponent == -1) return static_cast<R>(1 / base);
    return static_cast<R>(std::pow(base, exponent));
  }
  template <class R, class B>
  static R of_integers(R base, B exponent) {
    if constexpr (std::is_signed_v<B>)
      if (exponent < 0) {
        if (base == 0) [[unlikely]]
          throw_division_by_zero();
        if constexpr (std::is_signed_v<R>)
          if (base == -1) return exponent % 2 == 0 ? R{1} : R{-1};
        return base == 1 ? R{1} : R{0};
      }
    modular<R> result = 1, square = static_cast<modular<R>>(base);
    for (auto left = static_cast<unsigned long long>(exponent); left != 0; left >>= 1, square *= square)
      if ((left & 1) != 0) result *= square;
    return static_cast<R>(result);
  }
};

template <class T>
concept has_kernels = std::is_same_v<T, float> || std::is_same_v<T, double>;

// The larger one; not-a-number if either is.
struct larger {
  static bool reaches(auto a, auto b) { return a >= b; }
  static auto apply(auto a, auto b) {
    using R = std::common_type_t<decltype(a), decltype(b)>;
    const R x = static_cast<R>(a), y = static_cast<R>(b);
    if constexpr (std::is_integral_v<R>)
      return y > x ? y : x;
    else
      return select(y == y, select(y > x, y, x), y);  // NOLINT(misc-redundant-expression): a NaN
  }
  template <has_kernels R>
  static void rows(const R* elements, std::size_t rows, std::size_t columns, std::ptrdiff_t stride, R* out) noexcept {
    kernels::max_rows(elements, rows, columns, stride, out);
  }
};

struct smaller {
  static bool reaches(auto a, auto b) { return a <= b; }
  static auto apply(auto a, auto b) {
    using R = std::common_type_t<decltype(a), decltype(b)>;
    const R x = static_cast<R>(a), y = static_cast<R>(b);
    if constexpr (std::is_integral_v<R>)
      return y < x ? y : x;
    else
      return select(y == y, select(y < x, y, x), y);  // NOLINT(misc-redundant-expression): a NaN
  }
  template <has_kernels R>
  static void rows(const R* elements, std::size_t rows, std::size_t columns, std::ptrdiff_t stride, R* out) noexcept {
    kernels::min_rows(elements, rows, columns, stride, out);
  }
};

struct less {
  static bool apply(auto a, auto b) {
    using C = common<decltype(a), decltype(b)>;
    return static_cast<C>(a) < static_cast<C>(b);
  }
};
struct less_or_equal {
  static bool apply(auto a, auto b) {
    using C = common<decltype(a), decltype(b)>;
    return static_cast<C>(a) <= static_cast<C>(b);
  }
};
struct equal {
  static bool apply(auto a, auto b) {
    using C = common<decltype(a), decltype(b)>;
    return static_cast<C>(a) == static_cast<C>(b);
  }
};
struct not_equal {
  static bool apply(auto a, auto b) { return !equal::apply(a, b); }
};
struct greater {
  static bool apply(auto a, auto b) { return less::apply(b, a); }
};
struct greater_or_equal {
  static bool apply(auto a, auto b) { return less_or_equal::apply(b, a); }
};
struct both {
  static bool apply(auto a, auto b) { return static_cast<bool>(a) & static_cast<bool>(b); }
};
struct either {
  static bool apply(auto a, auto b) { return static_cast<bool>(a) | static_cast<bool>(b); }
};
struct invert {
  static bool apply(auto a) { return !static_cast<bool>(a); }
};

struct negate {
  static auto apply(auto a) {
    using R = decltype(-a);
    if constexpr (std::is_integral_v<R>)
      return static_cast<R>(modular<R>{0} - static_cast<modular<R>>(a));
    else
      return static_cast<R>(-a);
  }
};

struct absolute {
  static auto apply(auto a) {
    using T = decltype(a);
    using R = std::conditional_t<std::is_same_v<T, bool>, int, T>;
    if constexpr (std::is_signed_v<T> && std::is_integral_v<T>)
      return a < 0 ? static_cast<R>(negate::apply(a)) : a;
    else if constexpr (std::is_integral_v<R>)
      return static_cast<R>(a);
    else
      return static_cast<R>(std::fabs(a));
  }
};

// Element by element as well as in rows, these are the kernels', so that an element is the same either way.
struct exponential {
  static auto apply(auto a) {
    using R = real<decltype(a)>;
    if constexpr (has_kernels<R>) {
      R x = static_cast<R>(a);
      kernels::exp(&x, &x, 1);
      return x;
    } else {
      return static_cast<R>(std::exp(static_cast<R>(a)));
    }
  }
  template <has_kernels T>
  static void loop(const T* from, T* to, std::size_t count, bool past_caches) noexcept {
    kernels::exp(from, to, count, past_caches);
  }
};
struct logarithm {
  static auto apply(auto a) {
    using R = real<decltype(a)>;
    if constexpr (has_kernels<R>) {
      R x = static_cast<R>(a);
      kernels::log(&x, &x, 1);
      return x;
    } else {
      return static_cast<R>(std::log(static_cast<R>(a)));
    }
  }
  template <has_kernels T>
  static void loop(const T* from, T* to, std::size_t count, bool past_caches) noexcept {
    kernels::log(from, to, count, past_caches);
  }
};

struct choose {
  static auto apply(auto condition, auto a, auto b) {
    using R = std::common_type_t<decltype(a), decltype(b)>;
    return static_cast<bool>(condition) ? static_cast<R>(a) : static_cast<R>(b);
  }
};

template <class T>
struct convert_to {
  static T apply(auto a) { return converted<T>(a); }
};

// A function of the user's, which is the first value.
struct call {
  static constexpr bool calls_users_function = true;
  static auto apply(auto f, auto... value) { return f(value...); }
};

template <class X>
struct element_of {
  using type = X;
};
template <expression X>
struct element_of<X> {
  using type = typename X::value_type;
};
// Functions that give an element for one of each X. They are copied to where the loop is, which must not cost.
template <class F, class... X>
concept function_of =
    std::is_trivially_copyable_v<F> && requires(const F f, typename element_of<std::remove_cvref_t<X>>::type... value) {
      { f(value...) } -> element;
    };

}  // namespace buffers::detail

export namespace buffers {

/// Elementwise arithmetic. std::invalid_argument, naming both shapes, when they do not broadcast.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator+(A&& a, B&& b) {
  return detail::apply<detail::add>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator-(A&& a, B&& b) {
  return detail::apply<detail::subtract>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator*(A&& a, B&& b) {
  return detail::apply<detail::multiply_elements>(std::forward<A>(a), std::forward<B>(b));
}
/// ... std::domain_error when it is evaluated and an integer is divided by zero.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator/(A&& a, B&& b) {
  return detail::apply<detail::divide>(std::forward<A>(a), std::forward<B>(b));
}
/// The negative of each element. Of bool and of integers smaller than int, ints. Integers wrap around: the least is its
/// own negative.
template <class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto operator-(A&& a) {
  return detail::apply<detail::negate>(std::forward<A>(a));
}

/// Elementwise comparisons, giving bool: all(a == b) is whether two tensors are equal.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator<(A&& a, B&& b) {
  return detail::apply<detail::less>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator<=(A&& a, B&& b) {
  return detail::apply<detail::less_or_equal>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator>(A&& a, B&& b) {
  return detail::apply<detail::greater>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator>=(A&& a, B&& b) {
  return detail::apply<detail::greater_or_equal>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator==(A&& a, B&& b) {
  return detail::apply<detail::equal>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator!=(A&& a, B&& b) {
  return detail::apply<detail::not_equal>(std::forward<A>(a), std::forward<B>(b));
}

/// Elementwise logic. Both operands are evaluated.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator&&(A&& a, B&& b) {
  return detail::apply<detail::both>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto operator||(A&& a, B&& b) {
  return detail::apply<detail::either>(std::forward<A>(a), std::forward<B>(b));
}
/// Whether each element is false, or zero. Not-a-number is not zero.
template <class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto operator!(A&& a) {
  return detail::apply<detail::invert>(std::forward<A>(a));
}

/// a to the power of b, as std::pow has it; exponents of 2, 3, -1 and 0.5 need no call of it. They are rounded once,
/// and 3 is at most 1.5 ulp from the exact value for double and long double. Of integers an integer, by multiplication;
/// a negative exponent gives 1 / pow(a, -b), and so a std::domain_error for a base of zero.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto pow(A&& a, B&& b) {
  return detail::apply<detail::power>(std::forward<A>(a), std::forward<B>(b));
}
/// The quotient as a real number: of integers, a double, with IEEE's rules for zeros.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto true_divide(A&& a, B&& b) {
  return detail::apply<detail::true_divide_elements>(std::forward<A>(a), std::forward<B>(b));
}
/// The larger and the smaller one of each two elements; not-a-number where either is.
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto maximum(A&& a, B&& b) {
  return detail::apply<detail::larger>(std::forward<A>(a), std::forward<B>(b));
}
template <class A, class B>
  requires detail::operands<A, B>
[[nodiscard]] auto minimum(A&& a, B&& b) {
  return detail::apply<detail::smaller>(std::forward<A>(a), std::forward<B>(b));
}
/// The element of a where the condition's is true, or not zero, and that of b elsewhere. All three broadcast;
/// std::invalid_argument when they do not. Both choices are computed everywhere: of integers, a / b throws for a zero
/// in b that is not chosen as well; write a / where(b != 0, b, 1).
template <class Condition, class A, class B>
  requires detail::operands<Condition, A, B>
[[nodiscard]] auto where(Condition&& condition, A&& a, B&& b) {
  return detail::apply<detail::choose>(std::forward<Condition>(condition), std::forward<A>(a), std::forward<B>(b));
}

/// e to the power of each element. Of integers and bool, a double. float and double are at most 1 ulp from the exact
/// value; other types are as exact as std::exp. Special values are as in C: exp(-infinity) is 0, too large a result is
/// infinity, and not-a-number stays.
template <class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto exp(A&& a) {
  return detail::apply<detail::exponential>(std::forward<A>(a));
}
/// The natural logarithm. Of integers and bool, a double. float and double are at most 1 ulp from the exact value;
/// other types are as exact as std::log. log(0) is -infinity, and that of a negative number is not a number.
template <class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto log(A&& a) {
  return detail::apply<detail::logarithm>(std::forward<A>(a));
}
/// The square root, as std::sqrt has it. Of integers and bool, a double. That of a negative number is not a number.
template <class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto sqrt(A&& a) {
  return detail::apply<detail::square_root>(std::forward<A>(a));
}
/// The absolute value; of the least signed integer, itself.
template <class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto abs(A&& a) {
  return detail::apply<detail::absolute>(std::forward<A>(a));
}
/// f of each element, or of each two, for any function of yours: f(value) or f(first, second) gives an element of any
/// type. It is called when the expression is evaluated, once for each time that an element is computed, in any order;
/// with buffers::parallel on several threads at once, where it must not change what these share. f must be trivially
/// copyable, as function pointers and most lambdas are: let large things be captured by reference. What f throws
/// passes; the target of an assignment may then have some new elements.
template <class A, class F>
  requires detail::operand_expression<A> && detail::function_of<F, A>
[[nodiscard]] auto transform(A&& a, F f) {
  return detail::make_elementwise<detail::call>(detail::scalar<F>(f), detail::as_node(std::forward<A>(a)));
}
template <class A, class B, class F>
  requires detail::operands<A, B> && detail::function_of<F, A, B>
[[nodiscard]] auto transform(A&& a, B&& b, F f) {
  return detail::make_elementwise<detail::call>(detail::scalar<F>(f), detail::as_node(std::forward<A>(a)),
                                                detail::as_node(std::forward<B>(b)));
}
/// The elements as Ts, by C++'s conversions, defined for all values: a floating-point value beyond an integer type
/// becomes its nearest integer, and not-a-number becomes 0; integers wrap around.
template <element T, class A>
  requires detail::operand_expression<A>
[[nodiscard]] auto cast(A&& a) {
  return detail::apply<detail::convert_to<T>>(std::forward<A>(a));
}

}  // namespace buffers
