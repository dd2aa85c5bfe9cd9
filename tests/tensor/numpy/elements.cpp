#include <cstdint>

#include "compare.h"
import buffers;

namespace numpy {
namespace {

// f(a, b) for two operands of any rank up to 3.
template <class T, class F>
bool with_two(words& line, F f) {
  const array<T> a(line), b(line);
  return with_rank<0, 3>(a.shape.size(), [&](auto rank_a) {
    return with_rank<0, 3>(b.shape.size(),
                           [&](auto rank_b) { return f(a.template as<rank_a>(), b.template as<rank_b>()); });
  });
}

}  // namespace

bool integers(words& line) {
  const std::string name = word(line);
  return with_two<std::int64_t>(line, [&](const auto& a, const auto& b) {
    const array<std::int64_t> wanted(line);
    return name == "add"        ? is(a + b, wanted)
           : name == "subtract" ? is(a - b, wanted)
           : name == "multiply" ? is(a * b, wanted)
           : name == "maximum"  ? is(maximum(a, b), wanted)
                                : is(minimum(a, b), wanted);
  });
}

bool reals(words& line) {
  const std::string name = word(line);
  return with_two<double>(line, [&](const auto& a, const auto& b) {
    const array<double> wanted(line);
    return name == "add"        ? is(a + b, wanted)
           : name == "subtract" ? is(a - b, wanted)
           : name == "multiply" ? is(a * b, wanted)
           : name == "divide"   ? is(a / b, wanted)
           : name == "maximum"  ? is(maximum(a, b), wanted)
           : name == "minimum"  ? is(minimum(a, b), wanted)
                                : is(pow(a, b), wanted, [](double x) { return ulps(4, x); });
  });
}

bool compare(words& line) {
  const std::string name = word(line);
  return with_two<std::int64_t>(line, [&](const auto& a, const auto& b) {
    const array<bool> wanted(line);
    return name == "less"         ? is(a < b, wanted)
           : name == "less_equal" ? is(a <= b, wanted)
           : name == "equal"      ? is(a == b, wanted)
                                  : is(a != b, wanted);
  });
}

bool where(words& line) {
  return with_two<double>(
      line, [&](const auto& a, const auto& b) { return is(buffers::where(a < b, a, b), array<double>(line)); });
}

bool one(words& line) {
  const std::string name = word(line);
  const array<double> a(line);
  return with_rank<1, 3>(a.shape.size(), [&](auto rank) {
    const auto t = a.as<rank>();
    const array<double> wanted(line);
    const auto near = [](double x) { return ulps(4, x); };  // NumPy's own are not exact either
    return name == "exp"    ? is(exp(t), wanted, near)
           : name == "log"  ? is(log(t), wanted, near)
           : name == "sqrt" ? is(sqrt(t), wanted)
                            : is(abs(t), wanted);
  });
}

bool single(words& line) {
  const std::string name = word(line);
  const array<float> a(line);
  return with_rank<1, 3>(a.shape.size(), [&](auto rank) {
    const auto t = a.as<rank>();
    const array<double> exact(line);
    const auto near = [](double x) { return ulps(1, static_cast<float>(x)); };
    return name == "exp" ? is(exp(t), exact, near) : is(log(t), exact, near);
  });
}

}  // namespace numpy
