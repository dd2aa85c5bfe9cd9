// Tensors of a shape, the memory resource last and optional.
//
//     buffers::slab_resource scratch;
//     std::mt19937 engine{1};
//     auto m = buffers::zeros<float>({3, 3}, &scratch);          // the rank is that of the braces; {} has one element
//     auto n = buffers::ones<float>(m.shape(), &scratch);        // ... or of another tensor's shape
//     auto r = buffers::normal<float>({64, 64}, engine, &scratch);
//     auto i = buffers::arange<int>(0, 10, 2, &scratch);         // 0 2 4 6 8
//
//   operation         elements
//   zeros, ones       0, 1
//   full              the value
//   empty             not initialised
//   uniform, normal   random: even in [0, 1), and normal with mean 0 and deviation 1. Without an engine, from one that
//                     each thread has, seeded by the system. From the same engine, uniform gives the same values
//                     everywhere; normal up to the last bits of the C library's log.
//   arange            first, first + step, ... before last
//
// Negative extents are a std::invalid_argument; more elements than there can be, a std::bad_array_new_length.
//
// Threads: any at any time. An engine that is passed is used without a lock; the default one is of the calling thread.
module;
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <type_traits>
export module buffers.tensor:factories;
import buffers.core;
import :dtype;
import :layout;
import :index;
import :tensor_class;

namespace buffers::detail {

[[noreturn]] void throw_arange(const char* why);

// 64 random bits from the engine that each thread has.
[[nodiscard]] std::uint64_t random_bits();

struct default_engine {
  using result_type = std::uint64_t;
  static constexpr std::uint64_t min() { return 0; }
  static constexpr std::uint64_t max() { return std::numeric_limits<std::uint64_t>::max(); }
  std::uint64_t operator()() { return random_bits(); }
};

// What std::uniform_random_bit_generator asks for, without <random>.
template <class G>
concept random_engine = std::invocable<G&> && requires {
  { std::remove_reference_t<G>::min() } -> std::unsigned_integral;
  { std::remove_reference_t<G>::max() } -> std::unsigned_integral;
};

template <random_engine G>
[[nodiscard]] std::uint64_t bits_of(G& engine) {
  constexpr std::uint64_t range = G::max() - G::min();
  constexpr int whole = range == std::numeric_limits<std::uint64_t>::max() ? 64 : std::bit_width(range + 1) - 1;
  static_assert(whole > 0, "an engine with only one value");
  std::uint64_t bits = 0;
  for (int have = 0; have < 64; have += whole) {
    std::uint64_t part = engine() - G::min();
    if constexpr (whole < 64) {
      while (part >> whole != 0) part = engine() - G::min();  // values beyond a power of two would come too often
      bits = bits << whole;
    }
    bits |= part;
  }
  return bits;
}

// Even in [0, 1), with as many bits as T has, up to 53.
template <std::floating_point T, random_engine G>
[[nodiscard]] T uniform_value(G& engine) {
  constexpr int digits = std::numeric_limits<T>::digits < 53 ? std::numeric_limits<T>::digits : 53;
  return static_cast<T>(static_cast<double>(bits_of(engine) >> (64 - digits)) * std::ldexp(1.0, -digits));
}

template <element T, std::size_t N>
[[nodiscard]] tensor<T, N> make_uninitialised(const std::array<std::size_t, N>& shape,
                                              const std::pmr::polymorphic_allocator<>& allocator) {
  return tensor<T, N>(uninitialised{}, shape, allocator);
}

template <element T, std::size_t N>
[[nodiscard]] tensor<T, N> make_full(const std::array<std::size_t, N>& shape, T value,
                                     const std::pmr::polymorphic_allocator<>& allocator) {
  auto result = make_uninitialised<T>(shape, allocator);
  result = value;
  return result;
}

template <std::floating_point T, std::size_t N, random_engine G>
[[nodiscard]] tensor<T, N> make_uniform(const std::array<std::size_t, N>& shape, G& engine,
                                        const std::pmr::polymorphic_allocator<>& allocator) {
  auto result = make_uninitialised<T>(shape, allocator);
  for (T& value : result) value = uniform_value<T>(engine);
  return result;
}

// Two at a time, by the polar method: a point in the unit circle gives two independent values.
template <std::floating_point T, std::size_t N, random_engine G>
[[nodiscard]] tensor<T, N> make_normal(const std::array<std::size_t, N>& shape, G& engine,
                                       const std::pmr::polymorphic_allocator<>& allocator) {
  auto result = make_uninitialised<T>(shape, allocator);
  T* const values = result.data();
  for (std::size_t i = 0, count = result.numel(); i < count; i += 2) {
    double x, y, square;
    do {
      x = 2 * uniform_value<double>(engine) - 1;
      y = 2 * uniform_value<double>(engine) - 1;
      square = x * x + y * y;
    } while (square >= 1 || square == 0);
    const double scale = std::sqrt(-2 * std::log(square) / square);
    values[i] = static_cast<T>(x * scale);
    if (i + 1 < count) values[i + 1] = static_cast<T>(y * scale);
  }
  return result;
}

template <element T>
[[nodiscard]] constexpr T arange_element(T first, T step, std::size_t i) noexcept {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(first) + i * static_cast<std::uint64_t>(step));
  else
    return static_cast<T>(first + static_cast<T>(i) * step);
}

template <element T>
[[nodiscard]] std::size_t arange_count(T first, T last, T step) {
  if (step == T{0}) throw_arange("the step is 0");
  if (step != step) throw_arange("the step is not a number");  // NOLINT(misc-redundant-expression)
  if (step > T{0} ? first >= last : first <= last) return 0;
  if constexpr (std::is_integral_v<T>) {
    using U = std::uint64_t;
    const U way =
        step > T{0} ? static_cast<U>(last) - static_cast<U>(first) : static_cast<U>(first) - static_cast<U>(last);
    const U pace = step > T{0} ? static_cast<U>(step) : U{0} - static_cast<U>(step);
    return static_cast<std::size_t>((way - 1) / pace + 1);
  } else {
    const double count =
        std::ceil((static_cast<double>(last) - static_cast<double>(first)) / static_cast<double>(step));
    if (!(count < 9e18)) throw_arange("there is no such number of elements");
    auto n = static_cast<std::size_t>(count);
    const auto is_before_last = [&](T value) { return step > T{0} ? value < last : value > last; };
    while (n > 0 && !is_before_last(arange_element(first, step, n - 1))) --n;  // it is `last` in T, by rounding
    return n;
  }
}

}  // namespace buffers::detail

export namespace buffers {

/// Zeros. O(numel). Throws: std::invalid_argument for a negative extent; std::bad_array_new_length for more elements
/// than there can be; what the resource throws.
template <element T, std::size_t N>
[[nodiscard]] tensor<T, N> zeros(const detail::number (&shape)[N],
                                 const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return tensor<T, N>(detail::shape_of(shape), allocator);
}

template <element T, std::size_t N = 0>
[[nodiscard]] tensor<T, N> zeros(const std::array<std::size_t, N>& shape,
                                 const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return tensor<T, N>(shape, allocator);
}

/// Ones. Cost and errors as zeros.
template <element T, std::size_t N>
[[nodiscard]] tensor<T, N> ones(const detail::number (&shape)[N],
                                const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_full(detail::shape_of(shape), T{1}, allocator);
}

template <element T, std::size_t N = 0>
[[nodiscard]] tensor<T, N> ones(const std::array<std::size_t, N>& shape,
                                const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_full(shape, T{1}, allocator);
}

/// The same value everywhere. Cost and errors as zeros.
template <element T, std::size_t N>
[[nodiscard]] tensor<T, N> full(const detail::number (&shape)[N], std::type_identity_t<T> value,
                                const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_full(detail::shape_of(shape), value, allocator);
}

template <element T, std::size_t N = 0>
[[nodiscard]] tensor<T, N> full(const std::array<std::size_t, N>& shape, std::type_identity_t<T> value,
                                const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_full(shape, value, allocator);
}

/// Elements that are not initialised, to be written before they are read. O(1) beside the resource; errors as zeros.
template <element T, std::size_t N>
[[nodiscard]] tensor<T, N> empty(const detail::number (&shape)[N],
                                 const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_uninitialised<T>(detail::shape_of(shape), allocator);
}

template <element T, std::size_t N = 0>
[[nodiscard]] tensor<T, N> empty(const std::array<std::size_t, N>& shape,
                                 const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_uninitialised<T>(shape, allocator);
}

/// Random values, even in [0, 1), with as many bits as T has, up to 53. Cost and errors as zeros, and what the engine
/// throws. From that engine ...
template <std::floating_point T, detail::random_engine G, std::size_t N>
[[nodiscard]] tensor<T, N> uniform(const detail::number (&shape)[N], G&& engine,
                                   const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_uniform<T>(detail::shape_of(shape), engine, allocator);
}

template <std::floating_point T, detail::random_engine G, std::size_t N = 0>
[[nodiscard]] tensor<T, N> uniform(const std::array<std::size_t, N>& shape, G&& engine,
                                   const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_uniform<T>(shape, engine, allocator);
}

/// ... or from this thread's own.
template <std::floating_point T, std::size_t N>
[[nodiscard]] tensor<T, N> uniform(const detail::number (&shape)[N],
                                   const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return uniform<T>(detail::shape_of(shape), detail::default_engine(), allocator);
}

template <std::floating_point T, std::size_t N = 0>
[[nodiscard]] tensor<T, N> uniform(const std::array<std::size_t, N>& shape,
                                   const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return uniform<T>(shape, detail::default_engine(), allocator);
}

/// Random values, normally distributed with mean 0 and deviation 1. Cost and errors as zeros, and what the engine
/// throws. From that engine ...
template <std::floating_point T, detail::random_engine G, std::size_t N>
[[nodiscard]] tensor<T, N> normal(const detail::number (&shape)[N], G&& engine,
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_normal<T>(detail::shape_of(shape), engine, allocator);
}

template <std::floating_point T, detail::random_engine G, std::size_t N = 0>
[[nodiscard]] tensor<T, N> normal(const std::array<std::size_t, N>& shape, G&& engine,
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return detail::make_normal<T>(shape, engine, allocator);
}

/// ... or from this thread's own.
template <std::floating_point T, std::size_t N>
[[nodiscard]] tensor<T, N> normal(const detail::number (&shape)[N],
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return normal<T>(detail::shape_of(shape), detail::default_engine(), allocator);
}

template <std::floating_point T, std::size_t N = 0>
[[nodiscard]] tensor<T, N> normal(const std::array<std::size_t, N>& shape,
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return normal<T>(shape, detail::default_engine(), allocator);
}

/// first, first + step, first + 2 * step, ... before last. The three are converted to T first: arange<int>(0.5, 2.5) is
/// 0, 1. std::invalid_argument for a step that is 0 or not a number, and for more elements than there are numbers.
template <element T>
[[nodiscard]] tensor<T, 1> arange(std::type_identity_t<T> first, std::type_identity_t<T> last,
                                  std::type_identity_t<T> step,
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  auto result = detail::make_uninitialised<T>(std::array{detail::arange_count<T>(first, last, step)}, allocator);
  std::size_t i = 0;
  for (T& value : result) value = detail::arange_element(first, step, i++);
  return result;
}
/// ... with a step of 1 ...
template <element T>
[[nodiscard]] tensor<T, 1> arange(std::type_identity_t<T> first, std::type_identity_t<T> last,
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return arange<T>(first, last, T{1}, allocator);
}
/// ... from 0.
template <element T>
[[nodiscard]] tensor<T, 1> arange(std::type_identity_t<T> last,
                                  const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return arange<T>(T{0}, last, T{1}, allocator);
}

}  // namespace buffers
