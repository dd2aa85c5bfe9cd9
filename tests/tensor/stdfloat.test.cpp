// The floating-point types of <stdfloat>: types of their own, where the compiler has them.
#include <boost/test/unit_test.hpp>
#if __has_include(<stdfloat>)
#include <stdfloat>
#endif
#if defined(__STDCPP_FLOAT16_T__) && defined(__STDCPP_BFLOAT16_T__) && defined(__STDCPP_FLOAT32_T__) && \
    defined(__STDCPP_FLOAT64_T__)
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <format>

#include "support/temporary.hpp"
import buffers;

namespace {

static_assert(buffers::dtype_of<std::float16_t> == "float16" && buffers::dtype_of<std::bfloat16_t> == "bfloat16" &&
              buffers::dtype_of<std::float32_t> == "float32" && buffers::dtype_of<std::float64_t> == "float64");

template <class T>
void does_what_tensors_do() {
  buffers::slab_resource memory;
  const buffers::tensor<T, 2> a({{T(1), T(2), T(3)}, {T(-4), T(5.5), T(6)}}, &memory);
  const buffers::tensor<T, 2> b{a * a + T(0.5), &memory};
  BOOST_TEST(float(b[1, 1]) == 30.75F);
  BOOST_TEST(float(buffers::sum(a)) == 13.5F);
  const buffers::tensor<T, 1> rows{buffers::sum(a, buffers::axes<1>), &memory};
  BOOST_TEST(float(rows[0]) == 6);
  BOOST_TEST(float(rows[1]) == 7.5F);
  BOOST_TEST(float(buffers::max(a)) == 6);
  BOOST_TEST(float(buffers::min(a)) == -4);
  BOOST_TEST(float(buffers::mean(a)) == float(T(13.5) / T(6)));
  const buffers::tensor<T, 2> powers{buffers::exp(a - a), &memory};
  BOOST_TEST(float(powers[1, 2]) == 1);
  BOOST_TEST(std::format("{}", rows) == "[6.0, 7.5]");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stdfloat)

BOOST_AUTO_TEST_CASE(they_are_elements) {
  does_what_tensors_do<std::float16_t>();
  does_what_tensors_do<std::bfloat16_t>();
  does_what_tensors_do<std::float32_t>();
  does_what_tensors_do<std::float64_t>();
}

BOOST_AUTO_TEST_CASE(a_sum_is_not_rounded_at_every_step) {
  // 2048 + 1 is 2048 in this type.
  BOOST_TEST(float(buffers::sum(buffers::ones<std::float16_t>({10'000}))) == 10'000);
}

BOOST_AUTO_TEST_CASE(they_go_through_a_file) {
  const temporary_file file;
  const buffers::tensor<std::float16_t, 1> saved({std::float16_t(0.5), std::float16_t(-2), std::float16_t(65504)});
  buffers::save_npy(file, saved);
  BOOST_TEST(buffers::all(buffers::load_npy<std::float16_t, 1>(file) == saved));
}

BOOST_AUTO_TEST_SUITE_END()
#endif
