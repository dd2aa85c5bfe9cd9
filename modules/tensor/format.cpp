module;
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <ostream>
#include <string_view>
module buffers.tensor;

namespace buffers::detail {
namespace {

void say(const printer& to, std::string_view text) { to.text(to.context, text.data(), text.size()); }

void print_dimension(const printer& to, std::size_t rank, const std::size_t* shape, std::size_t* index, std::size_t d) {
  if (d == rank) return to.element(to.context, index);
  say(to, "[");
  for (std::size_t i = 0; i < shape[d]; ++i) {
    if (i > 0) say(to, ", ");
    if (shape[d] > 4 && i == 2) {
      say(to, "..., ");
      i = shape[d] - 2;
    }
    index[d] = i;
    print_dimension(to, rank, shape, index, d + 1);
  }
  say(to, "]");
}

template <class T>
std::size_t write_number(char* to, T value) noexcept {
  return static_cast<std::size_t>(std::to_chars(to, to + 60, value).ptr - to);
}

// A floating-point number looks like one; what is not a number has no sign.
template <class T>
std::size_t write_floating_point(char* to, T value) noexcept {
  std::size_t count = write_number(to, std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : value);
  if (std::isfinite(value) && std::string_view(to, count).find_first_of(".e") == std::string_view::npos) {
    to[count++] = '.';
    to[count++] = '0';
  }
  return count;
}

}  // namespace

void print(const printer& to, std::size_t rank, const std::size_t* shape, std::size_t* index) {
  print_dimension(to, rank, shape, index, 0);
}

std::size_t write_element(char* to, bool value) noexcept {
  const std::string_view word = value ? "true" : "false";
  std::memcpy(to, word.data(), word.size());
  return word.size();
}
std::size_t write_element(char* to, long long value) noexcept { return write_number(to, value); }
std::size_t write_element(char* to, unsigned long long value) noexcept { return write_number(to, value); }
std::size_t write_element(char* to, float value) noexcept { return write_floating_point(to, value); }
std::size_t write_element(char* to, double value) noexcept { return write_floating_point(to, value); }
// Standard libraries have a std::to_chars of long double that knows no more than double does.
std::size_t write_element(char* to, long double value) noexcept {
  const auto reads_back = [&](std::size_t count) {
    to[count] = '\0';
    return std::strtold(to, nullptr) == value;
  };
  std::size_t count = write_element(to, static_cast<double>(value));
  if (std::isnan(value) || reads_back(count)) return count;
  using limits = std::numeric_limits<long double>;
  for (int digits = limits::digits10; digits <= limits::max_digits10; ++digits) {
    count = static_cast<std::size_t>(std::snprintf(to, 60, "%.*Lg", digits, value));
    if (reads_back(count)) break;
  }
  // A locale may have another decimal point, of several bytes.
  std::size_t kept = 0;
  bool is_whole = true;
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_point = std::string_view("+-0123456789e").find(to[i]) == std::string_view::npos;
    if (is_point && !is_whole && to[kept - 1] == '.') continue;
    is_whole &= !is_point && to[i] != 'e';
    to[kept++] = is_point ? '.' : to[i];
  }
  if (is_whole) {
    to[kept++] = '.';
    to[kept++] = '0';
  }
  return kept;
}

void put(std::ostream& out, const char* first, std::size_t count) {
  out.write(first, static_cast<std::streamsize>(count));
}

// A width is for one item.
void end_item(std::ostream& out) { out.width(0); }

}  // namespace buffers::detail
