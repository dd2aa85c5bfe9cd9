#include <algorithm>
#include <bit>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "../../modules/tensor/kernels/table.h"
import buffers;

namespace kernels = buffers::detail::kernels;

namespace {

using numbers = boost::mpl::list<float, double>;
using words = boost::mpl::list<std::uint8_t, std::uint16_t, std::uint32_t, std::uint64_t>;

// Those of every kind of processor that this one can stand in for.
std::span<const buffers::detail::kernel_table* const> tables() {
  static const auto choice = buffers::detail::choose_kernels();
  return {choice.tables, static_cast<std::size_t>(choice.count)};
}
template <class T>
const buffers::detail::kernels_of<T>& of(const buffers::detail::kernel_table& table) {
  if constexpr (sizeof(T) == 4)
    return table.floats;
  else
    return table.doubles;
}
template <class T>
buffers::detail::transpose_kernel transpose_of(const buffers::detail::kernel_table& table) {
  return sizeof(T) == 1   ? table.transpose1
         : sizeof(T) == 2 ? table.transpose2
         : sizeof(T) == 4 ? table.transpose4
                          : table.transpose8;
}

template <class T>
using wider = std::conditional_t<sizeof(T) == 4, double, long double>;

// How far a result is from the exact one, in units in the last place of the exact one.
template <class T>
double ulps(T got, wider<T> exact) {
  if (std::isnan(exact)) return std::isnan(got) ? 0 : 1e9;
  const wider<T> beyond = std::ldexp(wider<T>(1), std::numeric_limits<T>::max_exponent);  // infinity stands for it
  exact = std::clamp(exact, -beyond, beyond);
  const wider<T> value = std::clamp(wider<T>(got), -beyond, beyond);
  int exponent = 0;
  (void)std::frexp(exact, &exponent);
  exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
  return static_cast<double>(std::abs(value - exact) /
                             std::ldexp(wider<T>(1), exponent - std::numeric_limits<T>::digits));
}

// The worst of f against the same function in more precision, over the arguments that `next` gives until it says no.
template <class T, class Next, class Exact>
double worst(void (*f)(const T*, T*, std::size_t, bool), Next next, Exact exact) {
  std::vector<T> x(4096), y(4096);
  double most = 0;
  for (std::size_t n = x.size(); n == x.size();) {
    n = 0;
    while (n < x.size() && next(x[n])) ++n;
    f(x.data(), y.data(), n, false);
    for (std::size_t i = 0; i < n; ++i) most = std::max(most, ulps<T>(y[i], exact(wider<T>(x[i]))));
  }
  return most;
}

// Every `step`th of all floats; a step of 1 takes minutes.
auto all_floats(std::uint64_t step) {
  return [step, bits = std::uint64_t{0}](float& x) mutable {
    if (bits > UINT32_MAX) return false;
    x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    bits += step;
    return true;
  };
}

// The sum of the elements without any rounding to speak of.
template <class T>
long double exact_sum(std::span<const T> x) {
  long double sum = 0, error = 0;
  for (const T each : x) {
    const long double next = sum + each;
    const long double of_each = next - sum;
    error += (sum - (next - of_each)) + (each - of_each);
    sum = next;
  }
  return sum + error;
}

// The sum as NumPy adds: pairs of blocks of 128, in which eight are side by side.
template <class T>
T sum_in_pairs(std::span<const T> x) {
  if (x.size() > 128) {
    const std::size_t half = x.size() / 2 / 8 * 8;
    return sum_in_pairs(x.first(half)) + sum_in_pairs(x.subspan(half));
  }
  T a[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= x.size(); i += 8)
    for (std::size_t k = 0; k < 8; ++k) a[k] += x[i + k];
  T sum = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
  for (; i < x.size(); ++i) sum += x[i];
  return sum;
}

template <class T>
std::vector<T> random_numbers(std::size_t n, unsigned seed) {
  std::mt19937_64 random{seed};
  std::uniform_real_distribution<T> distribution{T(-1), T(2)};
  std::vector<T> x(n);
  for (T& each : x) each = distribution(random);
  return x;
}

const std::vector<std::size_t> lengths = {0,   1,   2,    3,    7,    8,    9,    15,   16,   17,  31,
                                          32,  33,  63,   64,   65,   96,   127,  128,  129,  255, 256,
                                          257, 511, 1000, 1023, 1024, 1025, 2047, 2048, 2049, 5000};

}  // namespace

BOOST_AUTO_TEST_SUITE(kernel)

BOOST_AUTO_TEST_CASE(exp_and_log_of_float_are_at_most_one_ulp_off) {
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      const auto exp = [](double x) { return std::exp(x); };
      const auto log = [](double x) { return std::log(x); };
      BOOST_TEST(worst(table->floats.exp, all_floats(2003), exp) <= 1.0);
      const float hard = -0x1.b60c42p+4f;  // where rounding errors of all steps add up
      float got = 0;
      table->floats.exp(&hard, &got, 1, false);
      BOOST_TEST(ulps<float>(got, exp(hard)) <= 1.0);
      BOOST_TEST(worst(table->floats.log, all_floats(2003), log) <= 1.0);
    }
  }
}

BOOST_AUTO_TEST_CASE(exp_and_log_of_double_are_at_most_one_ulp_off) {
  const auto samples = [](auto draw) {
    return [draw, random = std::mt19937_64{7}, left = 200'000](double& x) mutable {
      x = draw(random);
      return left-- > 0;
    };
  };
  const auto between = [&](double first, double last) {
    return samples([=](auto& random) { return std::uniform_real_distribution{first, last}(random); });
  };
  const auto any_bits = samples([](auto& random) { return std::bit_cast<double>(random()); });
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      const auto exp = [](long double x) { return std::exp(x); };
      const auto log = [](long double x) { return std::log(x); };
      BOOST_TEST(worst(table->doubles.exp, between(-0.4, 0.4), exp) <= 1.0);
      BOOST_TEST(worst(table->doubles.exp, between(-746, 710), exp) <= 1.0);
      BOOST_TEST(worst(table->doubles.log, between(0.5, 2), log) <= 1.0);
      BOOST_TEST(worst(table->doubles.log, between(0.999, 1.001), log) <= 1.0);
      BOOST_TEST(worst(table->doubles.log, any_bits, log) <= 1.0);
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(exp_and_log_of_what_is_no_usual_number, T, numbers) {
  using limits = std::numeric_limits<T>;
  constexpr T inf = limits::infinity(), nan = limits::quiet_NaN();
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      // In each lane, among usual numbers.
      for (std::size_t n : {1u, 5u, 16u, 33u})
        for (std::size_t i = 0; i < n; ++i) {
          const auto exp = [&](T x) {
            std::vector<T> values(n, T(1));
            values[i] = x;
            of<T>(*table).exp(values.data(), values.data(), n, false);
            for (std::size_t j = 0; j < n; ++j)
              if (j != i) BOOST_REQUIRE(ulps<T>(values[j], std::exp(wider<T>(1))) <= 1.0);
            return values[i];
          };
          const auto log = [&](T x) {
            std::vector<T> values(n, T(3));
            values[i] = x;
            of<T>(*table).log(values.data(), values.data(), n, false);
            for (std::size_t j = 0; j < n; ++j)
              if (j != i) BOOST_REQUIRE(ulps<T>(values[j], std::log(wider<T>(3))) <= 1.0);
            return values[i];
          };
          BOOST_TEST(exp(inf) == inf);
          BOOST_TEST(exp(-inf) == 0);
          BOOST_TEST(std::isnan(exp(nan)));
          BOOST_TEST(exp(0) == 1);
          BOOST_TEST(exp(-T(0)) == 1);
          BOOST_TEST(exp(limits::denorm_min()) == 1);
          BOOST_TEST(exp(limits::max()) == inf);
          BOOST_TEST(exp(limits::lowest()) == 0);
          BOOST_TEST(exp(sizeof(T) == 4 ? T(88.73) : T(709.79)) == inf);  // just too much
          BOOST_TEST(exp(sizeof(T) == 4 ? T(88.72) : T(709.78)) < inf);
          BOOST_TEST(exp(sizeof(T) == 4 ? T(-103.9) : T(-745.1)) == limits::denorm_min());
          BOOST_TEST(exp(sizeof(T) == 4 ? T(-104) : T(-745.2)) == 0);
          BOOST_TEST(log(inf) == inf);
          BOOST_TEST(log(0) == -inf);
          BOOST_TEST(log(-T(0)) == -inf);
          BOOST_TEST(log(1) == 0);
          BOOST_TEST(std::isnan(log(nan)));
          BOOST_TEST(std::isnan(log(-1)));
          BOOST_TEST(std::isnan(log(-inf)));
          BOOST_TEST(std::isnan(log(-limits::denorm_min())));
          BOOST_TEST(ulps<T>(log(limits::denorm_min()), std::log(wider<T>(limits::denorm_min()))) <= 1.0);
          BOOST_TEST(ulps<T>(log(limits::min() / 2), std::log(wider<T>(limits::min() / 2))) <= 1.0);
          BOOST_TEST(ulps<T>(log(limits::max()), std::log(wider<T>(limits::max()))) <= 1.0);
        }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(exp_and_log_write_n_elements, T, numbers) {
  for (const auto* table : tables())
    for (const auto f : {of<T>(*table).exp, of<T>(*table).log})
      for (std::size_t n : lengths) {
        const std::vector<T> x(n, T(2));
        std::vector<T> y(n + 40, T(-7));
        f(x.data(), y.data(), n, false);
        BOOST_TEST(
            std::all_of(y.begin(), y.begin() + static_cast<std::ptrdiff_t>(n), [&](T each) { return each == y[0]; }));
        BOOST_TEST(std::ranges::count(y, T(-7)) == 40);
      }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sums_are_the_same_bits_on_every_processor, T, numbers) {
  const std::vector<T> x = random_numbers<T>(100'000, 1);
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      for (std::size_t n : lengths) {
        BOOST_TEST(of<T>(*table).sum(x.data(), n) == kernels::sum(x.data(), n));
        const std::size_t rows = n == 0 ? 3 : std::min<std::size_t>(x.size() / n, 70);
        std::vector<T> ours(std::max(rows, n)), best(std::max(rows, n));
        of<T>(*table).sum_rows(x.data(), rows, n, static_cast<std::ptrdiff_t>(n), ours.data());
        kernels::sum_rows(x.data(), rows, n, static_cast<std::ptrdiff_t>(n), best.data());
        BOOST_TEST(ours == best);
        of<T>(*table).sum_columns(x.data(), rows, n, static_cast<std::ptrdiff_t>(n), ours.data());
        kernels::sum_columns(x.data(), rows, n, static_cast<std::ptrdiff_t>(n), best.data());
        BOOST_TEST(ours == best);
      }
    }
  }
}

// Numbers whose sums are exact in any order.
template <class T>
std::vector<T> whole_numbers(std::size_t n) {
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<T>(i * 7919 % 201) - T(100);
  return x;
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sums_take_each_element_once, T, numbers) {
  const std::vector<T> x = whole_numbers<T>(600'000);
  for (std::size_t n : lengths) {
    T sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += x[i];
    BOOST_TEST(kernels::sum(x.data(), n) == sum);
    for (std::size_t rows : {0u, 1u, 3u, 4u, 16u, 17u, 31u, 32u, 33u, 40u, 64u, 65u, 100u}) {
      for (std::size_t gap : {0u, 3u}) {
        const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(n + gap);
        std::vector<T> by_row(rows + 1, T(-0.5)), by_column(n + 1, T(-0.5));
        std::vector<T> of_rows(rows + 1, T(-0.5)), of_columns(n, T(0));
        of_columns.push_back(T(-0.5));
        for (std::size_t r = 0; r < rows; ++r) {
          of_rows[r] = 0;
          for (std::size_t c = 0; c < n; ++c) {
            of_rows[r] += x[r * (n + gap) + c];
            of_columns[c] += x[r * (n + gap) + c];
          }
        }
        kernels::sum_rows(x.data(), rows, n, stride, by_row.data());
        kernels::sum_columns(x.data(), rows, n, stride, by_column.data());
        BOOST_TEST(by_row == of_rows);
        BOOST_TEST(by_column == of_columns);
        // ... and from the last row to the first
        if (rows > 0) {
          const T* const last = x.data() + (rows - 1) * (n + gap);
          kernels::sum_rows(last, rows, n, -stride, by_row.data());
          std::reverse(by_row.begin(), by_row.end() - 1);
          BOOST_TEST(by_row == of_rows);
          kernels::sum_columns(last, rows, n, -stride, by_column.data());
          BOOST_TEST(by_column == of_columns);
        }
      }
    }
  }
}

// So large that they are asked for ahead, or read in several places at once.
BOOST_AUTO_TEST_CASE_TEMPLATE(large_sums_take_each_element_once, T, numbers) {
  const std::size_t most = (9u << 20) / sizeof(T);
  const std::vector<T> x = whole_numbers<T>(most);
  const auto exact = [&](std::size_t first, std::size_t n) {
    double sum = 0;
    for (std::size_t i = first; i < first + n; ++i) sum += x[i];
    return static_cast<T>(sum);
  };
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      for (const std::size_t from : {(600u << 10) / sizeof(T), most})
        for (std::size_t less = 0; less < 300; less += 1 + less / 7)
          BOOST_TEST(of<T>(*table).sum(x.data(), from - less) == exact(0, from - less), less << " less than " << from);
      for (const std::size_t columns : {257u, 1000u, 1024u, 5003u, 100'000u}) {
        const std::size_t rows = most / columns - columns % 2;  // then and now no multiple of four
        std::vector<T> sums(rows + 1, T(-0.5)), wanted(rows + 1, T(-0.5));
        for (std::size_t r = 0; r < rows; ++r) wanted[r] = exact(r * columns, columns);
        const auto stride = static_cast<std::ptrdiff_t>(columns);
        of<T>(*table).sum_rows(x.data(), rows, columns, stride, sums.data());
        BOOST_TEST((sums == wanted), rows << " rows of " << columns);
        of<T>(*table).sum_rows(x.data() + (rows - 1) * columns, rows, columns, -stride, sums.data());
        std::reverse(sums.begin(), sums.end() - 1);
        BOOST_TEST((sums == wanted), rows << " rows of " << columns << ", backwards");
      }
    }
  }
}

// Of many rows: four by four, or of so few columns that a line holds several rows.
BOOST_AUTO_TEST_CASE_TEMPLATE(large_sums_of_columns_take_each_element_once, T, numbers) {
  const std::size_t most = (3u << 20) / sizeof(T);
  const std::vector<T> x = whole_numbers<T>(most);
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      for (const std::size_t columns : {1u, 2u, 3u, 5u, 7u, 8u, 9u, 13u, 15u, 16u, 19u, 100u, 1000u, 5003u})
        for (const std::size_t gap : {0u, 2u})
          for (const std::size_t less : {0u, 1u, 2u, 15u}) {
            const std::size_t stride = columns + gap, rows = most / stride - less;
            std::vector<double> exact(columns);
            for (std::size_t r = 0; r < rows; ++r)
              for (std::size_t c = 0; c < columns; ++c) exact[c] += x[r * stride + c];
            std::vector<T> sums(columns + 1, T(-0.5)), wanted(exact.begin(), exact.end());
            wanted.push_back(T(-0.5));
            of<T>(*table).sum_columns(x.data(), rows, columns, static_cast<std::ptrdiff_t>(stride), sums.data());
            BOOST_TEST((sums == wanted), rows << " rows of " << columns << ", " << gap << " between them");
          }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(large_sums_are_the_same_bits_on_every_processor, T, numbers) {
  const std::size_t rows = 1030, columns = 2049;  // of doubles 16 MiB
  std::vector<T> x = random_numbers<T>(rows * columns, 5);
  std::vector<T> ours(columns), best(columns);
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      BOOST_TEST(of<T>(*table).sum(x.data(), x.size()) == kernels::sum(x.data(), x.size()));
      of<T>(*table).sum_rows(x.data(), rows, columns, columns, ours.data());
      kernels::sum_rows(x.data(), rows, columns, columns, best.data());
      BOOST_TEST(ours == best);
      of<T>(*table).sum_columns(x.data(), rows, columns, columns, ours.data());
      kernels::sum_columns(x.data(), rows, columns, columns, best.data());
      BOOST_TEST(ours == best);
    }
  }
  constexpr T inf = std::numeric_limits<T>::infinity();
  for (const std::size_t i : {std::size_t{0}, x.size() / 3, x.size() / 4 * 4 - 1, x.size() - 1}) {
    const T before = std::exchange(x[i], -inf);
    BOOST_TEST(kernels::sum(x.data(), x.size()) == -inf);
    kernels::sum_rows(x.data(), rows, columns, columns, ours.data());
    for (std::size_t r = 0; r < rows; ++r) BOOST_TEST((ours[r] == -inf) == (r == i / columns));
    x[i] = before;
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sums_are_more_exact_than_in_pairs, T, numbers) {
  for (std::size_t n : {4096u, 100'000u, 3'000'000u}) {
    long double error = 0, error_in_pairs = 0, error_of_rows = 0, error_of_columns = 0;
    for (unsigned seed = 1; seed <= 12; ++seed) {
      const std::vector<T> x = random_numbers<T>(n, seed);
      const long double exact = exact_sum<T>(x);
      const auto off_by = [&](T sum) { return std::abs(sum - exact); };
      error += off_by(kernels::sum(x.data(), n));
      error_in_pairs += off_by(sum_in_pairs<T>(x));
      T row = 0, column = 0;
      kernels::sum_rows(x.data(), 1, n, 0, &row);
      kernels::sum_columns(x.data(), n, 1, 1, &column);
      error_of_rows += off_by(row);
      error_of_columns += off_by(column);
    }
    BOOST_TEST_CONTEXT(n << " elements") {
      // Of few doubles, all that is left is how the result is rounded.
      BOOST_TEST(error <= error_in_pairs * 1.05L);
      BOOST_TEST(error_of_rows <= error_in_pairs * 1.05L);
      BOOST_TEST(error_of_columns <= error_in_pairs * 1.05L);
    }
  }
}

// Of a matrix past the second cache, whose rows are added four by four.
BOOST_AUTO_TEST_CASE_TEMPLATE(sums_of_columns_are_more_exact_than_in_pairs, T, numbers) {
  constexpr std::size_t columns = 1024;
  for (const std::size_t rows : {1027u, 4096u}) {
    const std::vector<T> x = random_numbers<T>(rows * columns, 9);
    std::vector<T> sums(columns), column(rows);
    kernels::sum_columns(x.data(), rows, columns, columns, sums.data());
    long double error = 0, error_in_pairs = 0;
    for (std::size_t c = 0; c < columns; ++c) {
      for (std::size_t r = 0; r < rows; ++r) column[r] = x[r * columns + c];
      const long double exact = exact_sum<T>(column);
      error += std::abs(sums[c] - exact);
      error_in_pairs += std::abs(sum_in_pairs<T>(column) - exact);
    }
    BOOST_TEST_CONTEXT(rows << " rows") { BOOST_TEST(error <= error_in_pairs); }
  }
}

BOOST_AUTO_TEST_CASE(a_long_sum_of_floats_is_rounded_once_or_nearly) {
  const std::size_t n = (1 << 24) + 12345;
  const std::vector<float> x(n, 0.1f);
  const double exact = 0.1f * static_cast<double>(n);  // what a loop misses by 18 %
  BOOST_TEST(ulps<float>(kernels::sum(x.data(), n), exact) <= 4.0);
  const std::size_t rows = 1 << 16;
  float sums[16];
  kernels::sum_columns(x.data(), rows, 16, 16, sums);
  for (const float sum : sums) BOOST_TEST(ulps<float>(sum, 0.1f * static_cast<double>(rows)) <= 4.0);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(infinities_and_nan_pass_through_sums, T, numbers) {
  constexpr T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  for (std::size_t n : lengths) {
    if (n == 0) continue;
    for (std::size_t i : {std::size_t{0}, n / 2, n - 1}) {
      std::vector<T> x(n, T(1)), sums(n);
      const auto check = [&](auto holds) {
        BOOST_TEST(holds(kernels::sum(x.data(), n)));
        kernels::sum_rows(x.data(), 1, n, 0, sums.data());
        BOOST_TEST(holds(sums[0]));
        kernels::sum_columns(x.data(), n, 1, 1, sums.data());
        BOOST_TEST(holds(sums[0]));
        kernels::sum_columns(x.data(), 1, n, 0, sums.data());
        BOOST_TEST(holds(sums[i]));
        if (n > 1) BOOST_TEST(sums[i == 0 ? 1 : 0] == 1);
      };
      x[i] = inf;
      check([](T sum) { return sum == inf; });
      x[i] = -inf;
      check([](T sum) { return sum == -inf; });
      x[i] = nan;
      check([](T sum) { return std::isnan(sum); });
    }
  }
  const T both[] = {inf, -inf};
  BOOST_TEST(std::isnan(kernels::sum(both, 2)));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(maxima_and_minima_look_at_each_element, T, numbers) {
  for (const auto* table : tables())
    for (std::size_t n = 1; n < 300; n += 1 + n / 40)
      for (const T special : {T(1000), T(-1000), std::numeric_limits<T>::quiet_NaN()}) {
        // in each row another element is not like the others, which would be seen between the rows
        const std::size_t stride = n + 3;
        std::vector<T> x(n * stride, special);
        for (std::size_t r = 0; r < n; ++r)
          for (std::size_t c = 0; c < n; ++c)
            if (c != r) x[r * stride + c] = static_cast<T>((r * 31 + c * 7919) % 201) - T(100);
        std::vector<T> most(n), least(n);
        of<T>(*table).max_rows(x.data(), n, n, static_cast<std::ptrdiff_t>(stride), most.data());
        of<T>(*table).min_rows(x.data(), n, n, static_cast<std::ptrdiff_t>(stride), least.data());
        for (std::size_t r = 0; r < n; ++r) {
          T largest = special, smallest = special;
          for (std::size_t c = 0; c < n; ++c) {
            const T each = x[r * stride + c];
            if (each > largest) largest = each;
            if (each < smallest) smallest = each;
          }
          BOOST_TEST_CONTEXT(table->name << ", row " << r << " of " << n << " with " << special) {
            BOOST_TEST((most[r] == largest || (std::isnan(most[r]) && std::isnan(special))));
            BOOST_TEST((least[r] == smallest || (std::isnan(least[r]) && std::isnan(special))));
          }
        }
      }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(exp_and_log_past_the_caches_write_the_same, T, numbers) {
  const std::vector<T> x = random_numbers<T>(2200, 3);
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      for (const auto f : {of<T>(*table).exp, of<T>(*table).log})
        for (std::size_t offset = 0; offset < 64 / sizeof(T); ++offset)
          for (const std::size_t n : lengths) {
            if (n > 2100) continue;
            alignas(64) T wanted[2200], got[2200];
            std::ranges::fill(wanted, T(-7));
            std::ranges::fill(got, T(-7));
            f(x.data() + offset % 3, wanted + offset, n, false);
            f(x.data() + offset % 3, got + offset, n, true);
            table->stream_end();
            const bool same = std::memcmp(got, wanted, sizeof got) == 0;  // NOLINT: zeros with their signs
            BOOST_TEST(same, n << " elements at " << offset);
          }
    }
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(transposes_every_shape, E, words) {
  for (const auto* table : tables()) {
    BOOST_TEST_CONTEXT(table->name) {
      const auto check = [&](std::size_t rows, std::size_t columns, std::size_t gap, std::size_t offset) {
        const std::size_t from_stride = columns + gap, to_stride = rows + gap;
        std::vector<E> from(rows * from_stride + 1), to(columns * to_stride + offset + 64, E(0xee));
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<E>(i * 2654435761u >> 7);
        std::vector<E> wanted = to;
        for (std::size_t r = 0; r < rows; ++r)
          for (std::size_t c = 0; c < columns; ++c) wanted[offset + c * to_stride + r] = from[r * from_stride + c];
        const auto transpose = transpose_of<E>(*table);
        transpose(from.data(), rows, columns, static_cast<std::ptrdiff_t>(from_stride), to.data() + offset,
                  static_cast<std::ptrdiff_t>(to_stride));
        BOOST_TEST((to == wanted), rows << " x " << columns << ", gap " << gap << ", offset " << offset);
      };
      for (std::size_t rows : {0u, 1u, 2u, 8u, 15u, 16u, 17u, 64u, 65u, 130u})
        for (std::size_t columns : {0u, 1u, 3u, 16u, 31u, 64u, 128u, 133u})
          for (std::size_t gap : {0u, 5u}) check(rows, columns, gap, rows % 4);
      // Large ones, which are written past the caches where lines fit.
      for (std::size_t gap : {0u, 1u})
        for (std::size_t offset : {0u, 1u, 7u}) {
          check(1536, 1100 * 8 / sizeof(E), gap, offset);
          check(1031 * 8 / sizeof(E), 1024, gap, offset);
        }
    }
  }
}

BOOST_AUTO_TEST_CASE(transposes_against_the_strides) {
  const std::uint32_t from[] = {1, 2, 3, 4, 5, 6};
  std::uint32_t to[6];
  kernels::copy_transposed(from + 3, 2, 3, -3, to, 2, 4);  // the lower row first
  const std::uint32_t wanted[] = {4, 1, 5, 2, 6, 3};
  BOOST_TEST(to == wanted, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
