// std::format and << of tensors, views and expressions.
#include <boost/test/unit_test.hpp>
#include <clocale>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <format>
#include <iomanip>
#include <limits>
#include <print>
#include <sstream>
#include <string>
import buffers;

using namespace buffers;

BOOST_AUTO_TEST_SUITE(formats)

BOOST_AUTO_TEST_CASE(brackets) {
  BOOST_TEST((std::format("{}", tensor{0, 1, 2, 3}) == "[0, 1, 2, 3]"));
  BOOST_TEST((std::format("{}", arange<int>(5)) == "[0, 1, ..., 3, 4]"));
  BOOST_TEST(std::format("{}", reshape(arange<int>(25), {5, 5})) ==
             "[[0, 1, ..., 3, 4], [5, 6, ..., 8, 9], ..., [15, 16, ..., 18, 19], [20, 21, ..., 23, 24]]");
  BOOST_TEST((std::format("{}", reshape(arange<int>(1, 6), {5, 1})) == "[[1], [2], ..., [4], [5]]"));
  BOOST_TEST(std::format("{}", zeros<int>({0})) == "[]");
  BOOST_TEST((std::format("{}", zeros<int>({2, 0})) == "[[], []]"));
  BOOST_TEST(std::format("{}", full<int>({}, 7)) == "7");
  BOOST_TEST((std::format("<{}>", tensor{{{1}, {2}}}) == "<[[[1], [2]]]>"));
}

BOOST_AUTO_TEST_CASE(elements_look_as_in_cpp) {
  BOOST_TEST((std::format("{}", tensor{5.0, 0.1, 1e16, -0.0}) == "[5.0, 0.1, 1e+16, -0.0]"));
  BOOST_TEST((std::format("{}", tensor{5.0f, 0.1f, 1.0f / 3.0f}) == "[5.0, 0.1, 0.33333334]"));
  BOOST_TEST((std::format("{}", tensor{INFINITY, -INFINITY, NAN, -NAN}) == "[inf, -inf, nan, nan]"));
  BOOST_TEST((std::format("{}", tensor{true, false}) == "[true, false]"));
  BOOST_TEST((std::format("{}", tensor<std::int8_t, 1>{65, -1}) == "[65, -1]"));
  BOOST_TEST(std::format("{}", tensor{std::numeric_limits<std::uint64_t>::max()}) == "[18446744073709551615]");
}

// As many digits as a long double has, and its range.
BOOST_AUTO_TEST_CASE(long_doubles_are_printed_as_themselves) {
  BOOST_TEST((std::format("{}", tensor{5.0L, 0.1L, 1e16L, -0.0L, 100000.0L}) == "[5.0, 0.1, ..., -0.0, 1e+05]"));
  constexpr long double infinite = std::numeric_limits<long double>::infinity();
  BOOST_TEST((std::format("{}", tensor{infinite, -infinite, -std::nanl("")}) == "[inf, -inf, nan]"));
  if (std::numeric_limits<long double>::max_exponent10 > 4000)
    BOOST_TEST((std::format("{}", tensor{std::strtold("1e4000", nullptr), std::strtold("-1e-4000", nullptr)}) ==
                "[1e+4000, -1e-4000]"));
  for (const long double value : {1 / 3.0L, -2 / 7.0L * 1e20L, std::numeric_limits<long double>::max(),
                                  std::numeric_limits<long double>::denorm_min(), 1 + 1e-18L, 9007199254740993.0L}) {
    const std::string text = std::format("{}", full<long double>({}, value));
    BOOST_TEST(std::strtold(text.c_str(), nullptr) == value, text);
    BOOST_TEST(text.find_first_of(".e") != text.npos, text);
  }
}

// Whatever the C library writes in front of the decimals.
BOOST_AUTO_TEST_CASE(long_doubles_have_a_point_in_every_locale) {
  const char* const before = std::setlocale(LC_NUMERIC, nullptr);
  const std::string old = before != nullptr ? before : "C";
  for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"})
    if (std::setlocale(LC_NUMERIC, name) != nullptr) break;
  const std::string text = std::format("{}", tensor{0.1L, 1 + 1e-18L});
  std::setlocale(LC_NUMERIC, old.c_str());
  BOOST_TEST(text.starts_with("[0.1, 1.00"), text);
}

BOOST_AUTO_TEST_CASE(specifications_are_for_each_element) {
  BOOST_TEST((std::format("{:.2f}", tensor{{1.0, 2.5}, {3.14159, 4.0}}) == "[[1.00, 2.50], [3.14, 4.00]]"));
  BOOST_TEST((std::format("{:3} {:#x}", tensor{1, 2}, tensor{10, 11}) == "[  1,   2] [0xa, 0xb]"));
}

BOOST_AUTO_TEST_CASE(print) {
  std::FILE* const file = std::tmpfile();
  BOOST_REQUIRE(file != nullptr);
  tensor<float, 0> single(2.5f);
  const tensor_view<float, 0> seen{single};
  std::println(file, "{} {} {}", single, seen, tensor{1, 2});
  std::println(file, "{:.2f} {}", single, seen);
  BOOST_REQUIRE(std::fseek(file, 0, SEEK_SET) == 0);
  char text[100] = {};
  BOOST_TEST(std::fread(text, 1, sizeof text - 1, file) > 0u);
  std::fclose(file);
  BOOST_TEST(std::string(text) == "2.5 2.5 [1, 2]\n2.50 2.5\n");
}

BOOST_AUTO_TEST_CASE(views_and_expressions_and_streams) {
  tensor t{{1, 2, 3}, {4, 5, 6}};
  BOOST_TEST((std::format("{} {}", t[all, 1], transpose(t)) == "[2, 5] [[1, 4], [2, 5], [3, 6]]"));
  BOOST_TEST((std::format("{} {}", t * 0.5, sum(t, axes<0>)) == "[[0.5, 1.0, 1.5], [2.0, 2.5, 3.0]] [5, 7, 9]"));
  BOOST_TEST(std::format("{}", sum(t, axes<0, 1>)) == "21");
  std::ostringstream out;
  out << t << ' ' << t[0] << ' ' << (t > 3);
  BOOST_TEST((out.str() == "[[1, 2, 3], [4, 5, 6]] [1, 2, 3] [[false, false, false], [true, true, true]]"));
  out.str("");
  out << std::setw(12) << t[0] << 'x';
  BOOST_TEST(out.str() == "[1, 2, 3]x");
}

BOOST_AUTO_TEST_SUITE_END()
