// Cases that cases.py has made: a line is the words of its kind, the operands, and what NumPy makes of them. An array
// is its rank, its shape and its elements.
#pragma once
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
import buffers;

namespace numpy {

/// The rest of a line.
using words = std::istringstream;

inline std::string word(words& from) {
  std::string text;
  from >> text;
  return text;
}
inline std::ptrdiff_t whole(words& from) { return std::strtoll(word(from).c_str(), nullptr, 10); }

/// An array of any rank.
template <class T>
struct array {
  explicit array(words& from) : shape(static_cast<std::size_t>(whole(from))) {
    std::size_t count = 1;
    for (std::size_t& extent : shape) count *= extent = static_cast<std::size_t>(whole(from));
    values.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::string text = word(from);
      if constexpr (std::is_floating_point_v<T>)
        values[i] = static_cast<T>(std::strtod(text.c_str(), nullptr));
      else if constexpr (std::is_unsigned_v<T>)
        values[i] = static_cast<T>(std::strtoull(text.c_str(), nullptr, 10));
      else
        values[i] = static_cast<T>(std::strtoll(text.c_str(), nullptr, 10));
    }
  }
  template <std::size_t Rank>
  buffers::tensor<T, Rank> as() const {
    std::array<std::size_t, Rank> extents{};
    for (std::size_t d = 0; d < Rank; ++d) extents[d] = shape.at(d);
    buffers::tensor<T, Rank> result = buffers::empty<T>(extents);
    for (std::size_t i = 0; i < values.size(); ++i) result.data()[i] = values[i];
    return result;
  }

  std::vector<std::size_t> shape;
  std::vector<T> values;
};

/// f(std::integral_constant<std::size_t, Rank>) for the rank at hand, from Least to Most.
template <std::size_t Least, std::size_t Most, class F>
bool with_rank(std::size_t rank, F f) {
  if constexpr (Least <= Most) {
    if (rank == Least) return f(std::integral_constant<std::size_t, Least>{});
    return with_rank<Least + 1, Most>(rank, f);
  } else {
    return false;
  }
}

/// Equal, both not a number, or at most so much apart.
template <class T>
bool is_near(T got, T wanted, double tolerance) {
  if (got == wanted) return true;
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(got) || std::isnan(wanted)) return std::isnan(got) && std::isnan(wanted);
    return std::abs(static_cast<double>(got) - static_cast<double>(wanted)) <= tolerance;
  } else {
    return false;
  }
}
/// So many units in the last place.
template <class T>
double ulps(double count, T of) {
  return std::isfinite(of)
             ? count *
                   static_cast<double>(std::nextafter(std::abs(of), std::numeric_limits<T>::infinity()) - std::abs(of))
             : 0;
}

/// Whether a tensor or an expression has that shape and those elements; `tolerance` takes a wanted element.
template <class E, class T, class Tolerance>
bool is(E&& expression, const array<T>& wanted, Tolerance tolerance) {
  const auto got = buffers::evaluate(std::forward<E>(expression));
  if (std::vector<std::size_t>(got.shape().begin(), got.shape().end()) != wanted.shape) return false;
  if (got.numel() != wanted.values.size()) return false;
  for (std::size_t i = 0; i < wanted.values.size(); ++i)
    if (const T value = wanted.values[i]; !is_near<T>(static_cast<T>(got.data()[i]), value, tolerance(value)))
      return false;
  return true;
}
template <class E, class T>
bool is(E&& expression, const array<T>& wanted) {
  return is(std::forward<E>(expression), wanted, [](T) { return 0.0; });
}

// The kinds of cases; each says whether the library agrees.
bool slice(words& line);
bool fill(words& line);
bool integers(words& line);
bool reals(words& line);
bool compare(words& line);
bool where(words& line);
bool one(words& line);
bool single(words& line);
bool all_elements(words& line);
bool reduce(words& line);
bool keep(words& line);
bool place(words& line);
bool count(words& line);
bool permute(words& line);
bool reshape(words& line);
bool tril(words& line);
bool concatenate(words& line);
bool expand(words& line);

/// Whether it reads a file of files.txt as NumPy does; writes what read_back.py reads.
bool file(const std::string& folder, words& line);

}  // namespace numpy
