// Ten expressions, as a program with `import buffers;` writes them.
#include <cstdio>
import buffers;

int main() {
  using buffers::axes, buffers::keepdims;
  buffers::slab_resource scratch;
  const auto numbers = buffers::reshape(buffers::arange<float>(1, 65, 1, &scratch), {8, 8});
  const buffers::tensor a(numbers * 0.03f, &scratch), b(numbers * 0.04f, &scratch), c(numbers * 0.05f, &scratch);
  buffers::tensor<float, 2> out({8, 8}, &scratch);
  buffers::tensor<float, 1> rows({8}, &scratch);
  float all = 0;

  out = a * b + c;
  all += sum(out);
  out = exp(a) - 1.0f;
  all += sum(out);
  out = sqrt(a * a + b * b);
  all += sum(out);
  out = maximum(a, b) / c;
  all += sum(out);
  out = abs(a - c) * log(b);
  all += sum(out);
  rows = sum(a * b, axes<1>);
  all += sum(rows);
  rows = max(out, axes<0>);
  all += sum(rows);
  out = a - mean(a, axes<0>, keepdims);
  all += sum(out);
  out = exp(c - max(c, axes<1>, keepdims));
  all += sum(out);
  out /= sum(out, axes<1>, keepdims);
  all += sum(out);
  std::printf("%.4f\n", static_cast<double>(all));
}
