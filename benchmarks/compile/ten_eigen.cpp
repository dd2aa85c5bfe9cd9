// The ten expressions of ten_buffers.cpp, with Eigen.
#include <Eigen/Core>
#include <cstdio>

int main() {
  using matrix = Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const matrix numbers = Eigen::ArrayXf::LinSpaced(64, 1, 64).reshaped<Eigen::RowMajor>(8, 8);
  const matrix a = numbers * 0.03f, b = numbers * 0.04f, c = numbers * 0.05f;
  matrix out(8, 8);
  Eigen::ArrayXf rows(8);
  float all = 0;

  out = a * b + c;
  all += out.sum();
  out = a.exp() - 1.0f;
  all += out.sum();
  out = (a * a + b * b).sqrt();
  all += out.sum();
  out = a.max(b) / c;
  all += out.sum();
  out = (a - c).abs() * b.log();
  all += out.sum();
  rows = (a * b).rowwise().sum();
  all += rows.sum();
  rows = out.colwise().maxCoeff();
  all += rows.sum();
  out = a.rowwise() - a.colwise().mean();
  all += out.sum();
  out = (c.colwise() - c.rowwise().maxCoeff()).exp();
  all += out.sum();
  out.colwise() /= out.rowwise().sum().eval();
  all += out.sum();
  std::printf("%.4f\n", static_cast<double>(all));
}
