// How fast are tensors? Elementwise arithmetic, exp and log, sums, and a transposing copy of float32 matrices on one
// thread, against the libraries that people use for them, the loop that they write by hand, and what the memory can do.
// The peers work on the same memory, and are compiled with the same flags: in the release preset those of any x86-64,
// where only buffers and NumPy choose their instructions when they run.
//
//     benchmarks/run tensor [fma|exp|log|sum|sum0|sum1|permute|more|parallel]...
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "driver.h"
#include "tensor/numpy.h"

#ifdef BENCH_EIGEN
#include <Eigen/Core>
#endif
#ifdef BENCH_XTENSOR
#define XTENSOR_USE_XSIMD
#include <xtensor/xadapt.hpp>
#include <xtensor/xmath.hpp>
#include <xtensor/xnoalias.hpp>
#include <xtensor/xtensor.hpp>
#endif
import buffers;

namespace {

// What the memory of this machine can do; compiled for whatever processor runs it.
#define BENCH_EVERY_WIDTH __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))

BENCH_EVERY_WIDTH void triad(float* __restrict a, const float* __restrict b, const float* __restrict c, float factor,
                             std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) a[i] = b[i] + factor * c[i];
}
BENCH_EVERY_WIDTH unsigned read_all(const float* a, std::size_t n) {
  // cppcheck-suppress invalidPointerCast ; its bits are read
  const unsigned* const words = reinterpret_cast<const unsigned*>(a);
  unsigned all = 0;
  for (std::size_t i = 0; i < n; ++i) all |= words[i];
  return all;
}

struct matrices {
  explicit matrices(std::size_t side)
      : side(side),
        count(side * side),
        memory(4 * (count + gap)),
        a(memory.begin()),
        b(a + count + gap),
        c(b + count + gap),
        out(c + count + gap) {
    std::mt19937 random{1};
    for (float& each : memory) each = std::uniform_real_distribution<float>{0.01f, 20.0f}(random);
  }

  // A few lines, so that the same elements of two matrices do not compete for the same places in the first cache.
  static constexpr std::size_t gap = 5 * 16;

  std::size_t side, count;
  bench::pages<float> memory;
  float *a, *b, *c, *out;
};

// The matrix that a library sees in this memory.
buffers::tensor_view<float, 2> view(const matrices& m, float* memory) { return {memory, {m.side, m.side}}; }
buffers::tensor_view<float, 1> view_of_row(const matrices& m, float* memory) { return {memory, {m.side}}; }
#ifdef BENCH_EIGEN
using eigen_matrix = Eigen::Array<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
auto eigen(const matrices& m, float* memory) {
  return Eigen::Map<eigen_matrix, Eigen::Aligned64>(memory, static_cast<Eigen::Index>(m.side),
                                                    static_cast<Eigen::Index>(m.side));
}
auto eigen_row(const matrices& m, float* memory) {
  return Eigen::Map<Eigen::Array<float, 1, Eigen::Dynamic>, Eigen::Aligned64>(memory,
                                                                              static_cast<Eigen::Index>(m.side));
}
auto eigen_column(const matrices& m, float* memory) {
  return Eigen::Map<Eigen::Array<float, Eigen::Dynamic, 1>, Eigen::Aligned64>(memory,
                                                                              static_cast<Eigen::Index>(m.side));
}
#endif
#ifdef BENCH_XTENSOR
auto xtensor(const matrices& m, float* memory) {
  return xt::adapt(memory, m.count, xt::no_ownership(), std::array{m.side, m.side});
}
auto xtensor_row(const matrices& m, float* memory) {
  return xt::adapt(memory, m.side, xt::no_ownership(), std::array{m.side});
}
#endif

class contest : public bench::comparison {
 public:
  contest(const std::string& what, const matrices& m)
      : comparison(what + ", " + std::to_string(m.side) + " x " + std::to_string(m.side) + "; per 1000 elements",
                   m.count * repeats(m) / 1000, m.side >= 4096 ? 15 : 41),
        m_(m) {}

  template <class F>
  void ours(const std::string& name, F f) {
    comparison::ours(name, repeated(f));
  }
  template <class F>
  void peer(const std::string& name, F f) {
    comparison::peer(name, repeated(f));
  }
  template <class F>
  void limit(const std::string& name, F f) {
    comparison::limit(name, repeated(f));
  }
  void numpy(const std::string& operation) {
    comparison::peer_elsewhere("NumPy", [&m = m_, operation] { return bench::numpy(operation, m.side, repeats(m)); });
  }
  void against_best_peer(double at_most) { target("buffers / best peer", of("buffers") / best_peer(), at_most); }
  void against(const std::string& other, double at_most) {
    target("buffers / " + other, of("buffers") / of(other), at_most);
  }

 private:
  // Small ones for a quarter of a millisecond or more: the widest vector units take a part of that to wake up.
  static std::size_t repeats(const matrices& m) {
    return std::max<std::size_t>(1, (std::size_t{1} << (m.side < 1024 ? 24 : 21)) / m.count);
  }

  template <class F>
  std::function<void()> repeated(F f) {
    return [f, n = repeats(m_), out = m_.out] {
      for (std::size_t i = 0; i < n; ++i) {
        f();
        bench::use(out);
      }
    };
  }

  const matrices& m_;
};

bool is_large(const matrices& m) { return m.side >= 1024; }

void fma(const matrices& m) {
  contest contest("a * b + c", m);
  contest.ours("buffers", [&] { view(m, m.out) = view(m, m.a) * view(m, m.b) + view(m, m.c); });
  contest.peer("loop", [&] {
    for (std::size_t i = 0; i < m.count; ++i) m.out[i] = m.a[i] * m.b[i] + m.c[i];
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a) * eigen(m, m.b) + eigen(m, m.c); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a), b = xtensor(m, m.b), c = xtensor(m, m.c);
    auto out = xtensor(m, m.out);
    xt::noalias(out) = a * b + c;
  });
#endif
  contest.numpy("fma");
  contest.limit("triad, two thirds of the reads", [&] { triad(m.out, m.a, m.b, 3.0f, m.count); });
  contest.measure();
  contest.against("Eigen", 1.0);
  if (is_large(m))  // it moves 16 bytes for each element, triad 12
    contest.target("triad's bandwidth / that of buffers",
                   contest.of("buffers") / 16 * 12 / contest.of("triad, two thirds of the reads"), 1 / 0.85);
}

void exp(const matrices& m) {
  contest contest("exp", m);
  contest.ours("buffers", [&] { view(m, m.out) = exp(view(m, m.a)); });
  contest.peer("loop", [&] {
    for (std::size_t i = 0; i < m.count; ++i) m.out[i] = std::exp(m.a[i]);
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).exp(); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a);
    auto out = xtensor(m, m.out);
    xt::noalias(out) = xt::exp(a);
  });
#endif
  contest.numpy("exp");
  contest.limit("memcpy", [&] { std::memcpy(m.out, m.a, m.count * sizeof(float)); });
  contest.measure();
  contest.against("Eigen", 0.90);
}

void log(const matrices& m) {
  contest contest("log", m);
  contest.ours("buffers", [&] { view(m, m.out) = log(view(m, m.a)); });
  contest.peer("loop", [&] {
    for (std::size_t i = 0; i < m.count; ++i) m.out[i] = std::log(m.a[i]);
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).log(); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a);
    auto out = xtensor(m, m.out);
    xt::noalias(out) = xt::log(a);
  });
#endif
  contest.numpy("log");
  contest.limit("memcpy", [&] { std::memcpy(m.out, m.a, m.count * sizeof(float)); });
  contest.measure();
  contest.against("Eigen", 0.90);
}

void sum_targets(contest& contest, const matrices& m) {
  contest.measure();
  contest.against_best_peer(is_large(m) ? 1.05 : 0.6);
  if (is_large(m)) contest.against("read", 1.1);
}

void sum(const matrices& m) {
  contest contest("sum", m);
  contest.ours("buffers", [&] { m.out[0] = sum(view(m, m.a)); });
  contest.peer("loop", [&] {
    float all = 0;
    for (std::size_t i = 0; i < m.count; ++i) all += m.a[i];
    m.out[0] = all;
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { m.out[0] = eigen(m, m.a).sum(); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a);
    m.out[0] = xt::sum(a, xt::evaluation_strategy::immediate)();
  });
#endif
  contest.numpy("sum");
  contest.limit("read", [&] { bench::use(read_all(m.a, m.count)); });
  sum_targets(contest, m);
}

void sum0(const matrices& m) {
  contest contest("sum over axis 0", m);
  contest.ours("buffers", [&] { view_of_row(m, m.out) = sum(view(m, m.a), buffers::axes<0>); });
  contest.peer("loop", [&] {
    std::fill_n(m.out, m.side, 0.0f);
    for (std::size_t r = 0; r < m.side; ++r)
      for (std::size_t c = 0; c < m.side; ++c) m.out[c] += m.a[r * m.side + c];
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { eigen_row(m, m.out) = eigen(m, m.a).colwise().sum(); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a);
    auto out = xtensor_row(m, m.out);
    xt::noalias(out) = xt::sum(a, {0}, xt::evaluation_strategy::immediate);
  });
#endif
  contest.numpy("sum0");
  contest.limit("read", [&] { bench::use(read_all(m.a, m.count)); });
  sum_targets(contest, m);
}

void sum1(const matrices& m) {
  contest contest("sum over axis 1", m);
  contest.ours("buffers", [&] { view_of_row(m, m.out) = sum(view(m, m.a), buffers::axes<1>); });
  contest.peer("loop", [&] {
    for (std::size_t r = 0; r < m.side; ++r) {
      float all = 0;
      for (std::size_t c = 0; c < m.side; ++c) all += m.a[r * m.side + c];
      m.out[r] = all;
    }
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { eigen_column(m, m.out) = eigen(m, m.a).rowwise().sum(); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a);
    auto out = xtensor_row(m, m.out);
    xt::noalias(out) = xt::sum(a, {1}, xt::evaluation_strategy::immediate);
  });
#endif
  contest.numpy("sum1");
  contest.limit("read", [&] { bench::use(read_all(m.a, m.count)); });
  sum_targets(contest, m);
}

void permute(const matrices& m) {
  contest contest("permuted copy", m);
  contest.ours("buffers", [&] { view(m, m.out) = transpose(view(m, m.a)); });
  contest.peer("loop", [&] {
    for (std::size_t r = 0; r < m.side; ++r)
      for (std::size_t c = 0; c < m.side; ++c) m.out[r * m.side + c] = m.a[c * m.side + r];
  });
#ifdef BENCH_EIGEN
  contest.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).transpose(); });
#endif
#ifdef BENCH_XTENSOR
  contest.peer("xtensor", [&] {
    const auto a = xtensor(m, m.a);
    auto out = xtensor(m, m.out);
    xt::noalias(out) = xt::transpose(a);
  });
#endif
  contest.numpy("permute");
  contest.limit("memcpy", [&] { std::memcpy(m.out, m.a, m.count * sizeof(float)); });
  contest.measure();
  contest.against_best_peer(is_large(m) ? 0.15 : 0.5);
  if (is_large(m)) contest.against("memcpy", 1.25);
}

// What programs do besides, each against a loop, Eigen and NumPy.
class simple_contest : public contest {
 public:
  template <class Ours, class Loop>
  simple_contest(const std::string& what, const matrices& m, Ours ours, Loop loop) : contest(what, m) {
    contest::ours("buffers", ours);
    peer("loop", loop);
  }
  void end(const std::string& numpy_name) {
    numpy(numpy_name);
    measure();
    against_best_peer(1.0);
  }
};

void more(const matrices& m) {
  using buffers::all, buffers::axes, buffers::keepdims, buffers::range;
  const std::size_t side = m.side, half = side / 2;
  const auto a = view(m, m.a), b = view(m, m.b), out = view(m, m.out);
  {
    simple_contest roots(
        "sqrt", m, [&] { out = sqrt(a); },
        [&] {
          for (std::size_t i = 0; i < m.count; ++i) m.out[i] = std::sqrt(m.a[i]);
        });
#ifdef BENCH_EIGEN
    roots.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).sqrt(); });
#endif
    roots.end("sqrt");
  }
  {
    simple_contest cubes(
        "pow(a, 3)", m, [&] { out = pow(a, 3); },
        [&] {
          for (std::size_t i = 0; i < m.count; ++i) m.out[i] = std::pow(m.a[i], 3.0f);
        });
#ifdef BENCH_EIGEN
    cubes.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).pow(3); });
#endif
    cubes.end("cube");
  }
  {
    simple_contest rows(
        "a / sqrt(mean(a * a, axes<1>, keepdims) + 1e-5f)", m,
        [&] { out = a / sqrt(mean(a * a, axes<1>, keepdims) + 1e-5f); },
        [&] {
          for (std::size_t r = 0; r < side; ++r) {
            const float* const row = m.a + r * side;
            float squares = 0;
            for (std::size_t c = 0; c < side; ++c) squares += row[c] * row[c];
            const float root = std::sqrt(squares / static_cast<float>(side) + 1e-5f);
            for (std::size_t c = 0; c < side; ++c) m.out[r * side + c] = row[c] / root;
          }
        });
#ifdef BENCH_EIGEN
    rows.peer("Eigen", [&] {
      const auto from = eigen(m, m.a);
      const Eigen::Array<float, Eigen::Dynamic, 1> roots = (from.square().rowwise().mean() + 1e-5f).sqrt();
      eigen(m, m.out) = from.colwise() / roots;
    });
#endif
    rows.end("normalise");
  }
  {
    simple_contest places(
        "argmax over axis 1", m, [&] { view_of_row(m, m.out) = argmax(a, axes<1>); },
        [&] {
          for (std::size_t r = 0; r < side; ++r) {
            std::size_t place = 0;
            for (std::size_t c = 1; c < side; ++c)
              if (m.a[r * side + c] > m.a[r * side + place]) place = c;
            m.out[r] = static_cast<float>(place);
          }
        });
#ifdef BENCH_EIGEN
    places.peer("Eigen", [&] {
      const auto from = eigen(m, m.a);
      for (Eigen::Index r = 0; r < from.rows(); ++r) {
        Eigen::Index place;
        from.row(r).maxCoeff(&place);
        m.out[r] = static_cast<float>(place);
      }
    });
#endif
    places.end("argmax1");
  }
  {
    simple_contest largest(
        "max over axis 1", m, [&] { view_of_row(m, m.out) = max(a, axes<1>); },
        [&] {
          for (std::size_t r = 0; r < side; ++r) m.out[r] = *std::max_element(m.a + r * side, m.a + (r + 1) * side);
        });
#ifdef BENCH_EIGEN
    largest.peer("Eigen", [&] {
      Eigen::Map<Eigen::Array<float, Eigen::Dynamic, 1>>(m.out, static_cast<Eigen::Index>(side)) =
          eigen(m, m.a).rowwise().maxCoeff();
    });
#endif
    largest.end("max1");
  }
  {
    std::vector<std::int32_t> x(m.count), y(m.count), z(m.count);
    for (std::size_t i = 0; i < m.count; ++i) {
      x[i] = static_cast<std::int32_t>(1000 * m.a[i]);
      y[i] = 1 + static_cast<std::int32_t>(m.b[i]);
    }
    using integers = buffers::tensor_view<std::int32_t, 2>;
    const integers dividends{x.data(), {side, side}}, divisors{y.data(), {side, side}},
        quotients{z.data(), {side, side}};
    simple_contest quotient(
        "a / b of int32", m, [&] { quotients = dividends / divisors; },
        [&] {
          for (std::size_t i = 0; i < m.count; ++i) z[i] = x[i] / y[i];
        });
#ifdef BENCH_EIGEN
    using eigen_integers = Eigen::Map<Eigen::Array<std::int32_t, Eigen::Dynamic, 1>>;
    quotient.peer("Eigen", [&, n = static_cast<Eigen::Index>(m.count)] {
      eigen_integers(z.data(), n) = eigen_integers(x.data(), n) / eigen_integers(y.data(), n);
    });
#endif
    quotient.end("quotient");
  }
  {
    std::vector<std::uint8_t> bytes(m.count);
    const buffers::tensor_view<std::uint8_t, 2> to{bytes.data(), {side, side}};
    simple_contest pixels(
        "float32 to uint8", m, [&] { to = a; },
        [&] {
          for (std::size_t i = 0; i < m.count; ++i) bytes[i] = static_cast<std::uint8_t>(m.a[i]);
        });
#ifdef BENCH_EIGEN
    pixels.peer("Eigen", [&, n = static_cast<Eigen::Index>(m.count)] {
      Eigen::Map<Eigen::Array<std::uint8_t, Eigen::Dynamic, 1>>(bytes.data(), n) =
          Eigen::Map<const Eigen::Array<float, Eigen::Dynamic, 1>>(m.a, n).cast<std::uint8_t>();
    });
#endif
    pixels.numpy("pixels");
    pixels.measure();  // no target: the others' result is undefined for what is beyond the integers
  }
  {
    simple_contest backwards(
        "columns in reverse", m, [&] { out = a[all, range{all, all, -1}]; },
        [&] {
          for (std::size_t r = 0; r < side; ++r)
            for (std::size_t c = 0; c < side; ++c) m.out[r * side + c] = m.a[r * side + side - 1 - c];
        });
#ifdef BENCH_EIGEN
    backwards.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).rowwise().reverse(); });
#endif
    backwards.end("reverse");
  }
  {
    simple_contest column(
        "a matrix times a column", m, [&] { out = a * b[all, range{0, 1}]; },
        [&] {
          for (std::size_t r = 0; r < side; ++r)
            for (std::size_t c = 0; c < side; ++c) m.out[r * side + c] = m.a[r * side + c] * m.b[r * side];
        });
#ifdef BENCH_EIGEN
    column.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a).colwise() * eigen(m, m.b).col(0); });
#endif
    column.end("column");
  }
  {
    simple_contest turned(
        "a + transpose(b)", m, [&] { out = a + transpose(b); },
        [&] {
          for (std::size_t r = 0; r < side; ++r)
            for (std::size_t c = 0; c < side; ++c) m.out[r * side + c] = m.a[r * side + c] + m.b[c * side + r];
        });
#ifdef BENCH_EIGEN
    turned.peer("Eigen", [&] { eigen(m, m.out) = eigen(m, m.a) + eigen(m, m.b).transpose(); });
#endif
    turned.end("turned");
  }
  simple_contest every_other(
      "every other column", m, [&] { out[all, range{0, half}] = a[all, range{0, all, 2}]; },
      [&] {
        for (std::size_t r = 0; r < side; ++r)
          for (std::size_t c = 0; c < half; ++c) m.out[r * side + c] = m.a[r * side + 2 * c];
      });
  every_other.end("every_other");
}

// One thread against all that oneTBB has, in wall time, as processor time would count them together. When another
// program runs on this machine they wait for it, so that the fastest rounds say more than the medians. Of one operand:
// to read three takes about as long as to compute this, and both processors read from one memory.
void parallel() {
  const matrices m{2048};
  const auto compute = [&](auto... how) {
    auto out = view(m, m.out);
    const auto a = view(m, m.a);
    const auto expression = exp(a * -0.1f) * log(a) + exp(log(a) * 0.3f);
    if constexpr (sizeof...(how) > 0)
      buffers::assign(how..., out, expression);
    else
      out = expression;
  };
  const auto seconds = [](auto run) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::vector<double> alone, together;
  for (int i = 0; i < (bench::quick ? 7 : 41); ++i) {
    alone.push_back(seconds([&] { compute(); }));
    together.push_back(seconds([&] { compute(buffers::parallel); }));
  }
  std::ranges::sort(alone);
  std::ranges::sort(together);
  std::printf("\nexp(a * -0.1) * log(a) + exp(log(a) * 0.3), 2048 x 2048, on %zu processors; milliseconds\n",
              bench::processors().size());
  std::printf("    %-20s fastest %8.2f   median %8.2f\n", "one thread", 1e3 * alone[0], 1e3 * alone[alone.size() / 2]);
  std::printf("    %-20s fastest %8.2f   median %8.2f\n", "parallel", 1e3 * together[0],
              1e3 * together[together.size() / 2]);
  const bench::comparison result("", 1);
  result.target("parallel / one thread, the fastest rounds", together[0] / alone[0], 1 / 1.7);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::arguments arguments{argc, argv};
  if (arguments.asked_for("parallel")) parallel();
  bench::pin_to_one_processor();
  const struct {
    const char* name;
    void (*part)(const matrices&);
  } parts[] = {{"fma", fma}, {"exp", exp}, {"log", log}, {"sum", sum}, {"sum0", sum0}, {"sum1", sum1}};
  for (const std::size_t side : {64, 1024, 4096}) {
    const matrices m{side};
    for (const auto& [name, part] : parts)
      if (arguments.asked_for(name)) part(m);
  }
  if (arguments.asked_for("permute"))
    for (const std::size_t side : {64, 2048}) permute(matrices{side});
  if (arguments.asked_for("more")) more(matrices{256});
}
