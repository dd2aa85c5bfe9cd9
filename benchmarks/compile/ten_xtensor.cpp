// The ten expressions of ten_buffers.cpp, with xtensor.
#include <cstdio>
#include <xtensor/xbuilder.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

int main() {
  const xt::xtensor<float, 2> numbers = xt::arange<float>(1, 65).reshape({8, 8});
  const xt::xtensor<float, 2> a = numbers * 0.03f, b = numbers * 0.04f, c = numbers * 0.05f;
  xt::xtensor<float, 2> out;
  xt::xtensor<float, 1> rows;
  float all = 0;

  out = a * b + c;
  all += xt::sum(out)();
  out = xt::exp(a) - 1.0f;
  all += xt::sum(out)();
  out = xt::sqrt(a * a + b * b);
  all += xt::sum(out)();
  out = xt::maximum(a, b) / c;
  all += xt::sum(out)();
  out = xt::abs(a - c) * xt::log(b);
  all += xt::sum(out)();
  rows = xt::sum(a * b, {1});
  all += xt::sum(rows)();
  rows = xt::amax(out, {0});
  all += xt::sum(rows)();
  out = a - xt::eval(xt::mean(a, {0}, xt::keep_dims));  // a lazy one gives other results
  all += xt::sum(out)();
  out = xt::exp(c - xt::eval(xt::amax(c, {1}, xt::keep_dims)));
  all += xt::sum(out)();
  out /= xt::eval(xt::sum(out, {1}, xt::keep_dims));
  all += xt::sum(out)();
  std::printf("%.4f\n", static_cast<double>(all));
}
