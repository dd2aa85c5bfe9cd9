#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>
import buffers;
import buffers.testing;
#include "usage/random_program.hpp"

using buffers::alignment;
using buffers::alloc;
using buffers::alloc_bytes;
using buffers::bump_resource;
using buffers::drop;
using buffers::dry_run;
using buffers::peak_bytes;
using buffers::reshape_buffer;
using buffers::reshape_buffer_at;
using buffers::slab_resource;

namespace {

constexpr std::size_t doubles(std::size_t count) { return count * sizeof(double); }

/// T11: A[i,j,k] = sum over l of B[i,j,l] C[l,k].
constexpr auto contraction = [](auto& buffer, bool small) {
  const auto a = alloc<double>(buffer, 10, 10, small ? 20 : 30);
  const auto b = alloc<double>(buffer, 10, 10, 10);
  const auto c = alloc<double>(buffer, 10, small ? 20 : 30);
  for (std::size_t l = 0; l < c.extent(0); ++l)
    for (std::size_t k = 0; k < c.extent(1); ++k) c[l, k] = static_cast<double>(k);
  for (std::size_t i = 0; i < 10; ++i)
    for (std::size_t j = 0; j < 10; ++j)
      for (std::size_t l = 0; l < 10; ++l) b[i, j, l] = 1;
  const auto an = buffers::neuralyze(a);
  double sum = 0;
  if constexpr (!buffers::is_dry_run<decltype(buffer)>)  // too many steps for the compiler
    for (std::size_t i = 0; i < 10; ++i)
      for (std::size_t j = 0; j < 10; ++j)
        for (std::size_t k = 0; k < an.extent(2); ++k) {
          an[i, j, k] = 0;
          for (std::size_t l = 0; l < 10; ++l) an[i, j, k] += b[i, j, l] * c[l, k];
          sum += an[i, j, k];
        }
  drop(buffer, b, c);
  buffer.reset();
  return sum;
};

/// Loops, branches, scopes, raw bytes, alignments, checkpoints, drops out of order, blocks that grow.
constexpr auto everything = [](auto& buffer, int n) {
  std::size_t count = 0;
  for (int i = 1; i <= n; ++i) {
    buffers::scope inner{buffer};
    for (int j = 0; j < i; ++j) (void)alloc<char>(buffer, alignment{64}, 10 + j);
    count += alloc_bytes(buffer, 5).size() + buffers::alloc_span<long>(buffer, i).size();
  }
  const auto cp = buffer.checkpoint();
  const auto a = alloc<float, std::layout_left>(buffer, n, 3);
  const auto b = alloc<double>(buffer, std::extents<std::size_t, 3, 3>{});
  const auto c = alloc<short>(buffer, alignment{32}, std::extents<std::size_t, 7>{});
  (void)alloc<int>(buffer);
  (void)alloc<int>(buffer, 0, 5);
  drop(buffer, b);
  drop(buffer, a, c);
  count += buffers::no_escape(buffer, [](auto& inside) { return alloc<int>(inside, 100).size(); });
  void* block = buffer.allocate(10);
  if (buffer.try_expand(block, 10, 300)) buffer.shrink(block, 300, 200);
  (void)buffer.allocate(1, 1);
  buffer.deallocate(block, 200);  // not the newest any more
  buffer.restore(cp);
  (void)alloc<double>(buffer, n);
  buffer.reset();
  (void)reshape_buffer<double>(buffer, n, 2);
  (void)reshape_buffer_at<float>(buffer, 10, n);
  buffer.reset();
  (void)alloc<double>(buffer, 3);
  return count;
};

/// n bytes suffice, and n - 1 do not.
template <class F, class... Args>
void check_exact(std::size_t n, const F& f, Args... args) {
  bump_resource exact{n};
  BOOST_CHECK_NO_THROW((void)f(exact, args...));
  if (n == 0) return;
  bump_resource too_small{n - 1};
  BOOST_CHECK_THROW((void)f(too_small, args...), buffers::exhausted);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(dry_runs)

BOOST_AUTO_TEST_CASE(expanding_lowers_nothing) {
  buffers::dry_run buffer;
  void* const block = buffer.allocate(41);
  buffer.deallocate(buffer.allocate(16), 16);
  BOOST_TEST(buffer.used() == 48u);
  BOOST_TEST(buffer.try_expand(block, 41, 44));
  BOOST_TEST(buffer.used() == 48u);
}

BOOST_AUTO_TEST_CASE(T11_the_example_of_the_document) {
  BOOST_TEST(peak_bytes(contraction, true) == doubles(3200));
  BOOST_TEST(peak_bytes(contraction, false) == doubles(4300));
  static_assert(peak_bytes(contraction, true) == doubles(3200));
  static_assert(peak_bytes(contraction, false) == doubles(4300));
  check_exact(peak_bytes(contraction, true), contraction, true);
  check_exact(peak_bytes(contraction, false), contraction, false);
  slab_resource slab;
  bump_resource bump{peak_bytes(contraction, true)};
  BOOST_TEST(contraction(slab, true) == contraction(bump, true));
  BOOST_TEST(contraction(bump, true) == 10 * 10 * 10 * (19 * 20 / 2));
}

BOOST_AUTO_TEST_CASE(T12_two_buffers) {
  const auto program = [](auto& first, auto& second) {
    const auto a = alloc<double>(first, 10, 10, 20);
    const auto b = alloc<double>(second, 20, 5);
    drop(first, a);
    drop(second, b);
    first.reset();
    second.reset();
  };
  dry_run first, second;
  program(first, second);
  BOOST_TEST(first.peak() == doubles(2000));
  BOOST_TEST(second.peak() == doubles(100));
  BOOST_TEST(first.used() + second.used() == 0u);
}

BOOST_AUTO_TEST_CASE(everything_that_a_buffer_does) {
  for (int n : {1, 2, 5, 9}) check_exact(peak_bytes(everything, n), everything, n);
  BOOST_TEST(peak_bytes(everything, 5) == [] {
    constexpr std::size_t n = peak_bytes(everything, 5);
    return n;
  }());
  slab_resource slab;
  bump_resource bump;
  dry_run dry;
  const std::size_t count = everything(bump, 6);
  BOOST_TEST(everything(slab, 6) == count);
  BOOST_TEST(everything(dry, 6) == count);
  BOOST_TEST(dry.used() == bump.used());
}

BOOST_AUTO_TEST_CASE(an_array_is_sized_by_the_compiler) {
  constexpr std::size_t n = peak_bytes(contraction, true);
  alignas(64) static std::array<std::byte, n> storage;
  bump_resource buffer{std::span(storage)};
  BOOST_CHECK_NO_THROW((void)contraction(buffer, true));
  bump_resource too_small{std::span(storage).first(n - 1)};
  BOOST_CHECK_THROW((void)contraction(too_small, true), buffers::exhausted);
}

BOOST_AUTO_TEST_CASE(storage_with_less_alignment_needs_more) {
  const auto f = [](auto& buffer) {
    (void)alloc<char>(buffer, alignment{32}, 10);
    (void)alloc<char>(buffer, 1);
  };
  alignas(64) std::byte memory[256];
  for (std::size_t base : {1uz, 2uz, 4uz, 8uz, 16uz, 32uz, 64uz}) {
    const std::size_t n = peak_bytes(alignment{base}, f);
    std::size_t failures = 0;
    for (std::size_t at = 0; at < 64; at += base) {
      bump_resource exact{std::span(memory + at, n)};
      BOOST_CHECK_NO_THROW(f(exact));
      bump_resource too_small{std::span(memory + at, n - 1)};
      try {
        f(too_small);
      } catch (const buffers::exhausted&) {
        ++failures;
      }
    }
    BOOST_TEST(failures > 0u);  // where it lies worst
  }
  BOOST_TEST(peak_bytes(alignment{64}, f) == 17u);
  BOOST_TEST(peak_bytes(alignment{16}, f) == 33u);
  BOOST_TEST(peak_bytes(alignment{1}, f) == 48u);
  BOOST_CHECK_THROW(dry_run(alignment{3}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(an_alignment_beyond_the_buffers_counts_with_the_worst_place) {
  const auto f = [](auto& buffer) {
    (void)alloc<char>(buffer, 1);
    for (int i = 0; i < 4; ++i) (void)alloc<char>(buffer, alignment{256}, 256);
  };
  BOOST_TEST(peak_bytes(f) == 256u + 4 * 256u);  // it begins 64 bytes before a multiple of 256, or 64 after one
  BOOST_TEST(peak_bytes(alignment{256}, f) == 256u + 4 * 256u);
  const auto g = [](auto& buffer) { (void)alloc<char>(buffer, alignment{256}, 256); };
  BOOST_TEST(peak_bytes(g) == 192u + 256u);
  BOOST_TEST(peak_bytes(alignment{256}, g) == 256u);
  buffers::aligned_resource upstream{256};
  bump_resource exact{peak_bytes(alignment{256}, f), &upstream};
  BOOST_CHECK_NO_THROW(f(exact));
}

BOOST_AUTO_TEST_CASE(its_views_can_be_read_and_written_by_index) {
  struct particle {
    double x, y;
    int id;
  };
  const auto f = [](auto& buffer, std::size_t n) {
    const auto all = alloc<particle>(buffer, n);
    for (std::size_t i = 0; i < n; ++i) all[i] = {1, 2, static_cast<int>(i)};
    all[n - 1].x += 1;
    particle& last = all[n - 1];
    std::swap(last, all[0]);
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += all[i].x;
    return sum;
  };
  dry_run dry;
  f(dry, 1000);
  BOOST_TEST(dry.peak() == 1000 * sizeof(particle));
  slab_resource slab;
  BOOST_TEST(f(slab, 1000) == 1001);
  static_assert(peak_bytes(f, 1000uz) == 1000 * sizeof(particle));

  // It converts to a view with pointers, of const elements as well; the pointers are aligned and differ.
  const std::mdspan<double, std::dextents<std::size_t, 2>> a = alloc<double>(dry, 2, 3), b = alloc<double>(dry, 2, 3);
  const std::mdspan<const double, std::dextents<std::size_t, 2>> c = alloc<double>(dry, alignment{4096}, 2, 3);
  BOOST_TEST(a.extent(1) == 3u);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(b.data_handle()) - reinterpret_cast<std::uintptr_t>(a.data_handle()) ==
             48u);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(c.data_handle()) % 4096 == 0u);
  drop(dry, b);
  BOOST_CHECK_THROW(drop(dry, b), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(the_peak_is_never_below_what_is_in_use) {
  const auto at_the_end = [](auto& buffer) {
    void* const block = buffer.allocate(870);
    const auto before = buffer.checkpoint();
    buffer.deallocate(block, 870);
    buffer.reset_peak();
    buffer.restore(before);
    BOOST_TEST(buffer.used() == 870u);
    return buffer.peak();
  };
  dry_run dry;
  bump_resource bump;
  BOOST_TEST(at_the_end(dry) == 870u);
  BOOST_TEST(at_the_end(bump) == 870u);
}

BOOST_AUTO_TEST_CASE(elements_of_any_type_at_compile_time) {
  struct no_default {
    int value;
    constexpr explicit no_default(int v) : value(v) {}
  };
  constexpr auto f = [](auto& buffer) {
    (void)alloc<no_default>(buffer, 3);
    const auto a = alloc<int>(buffer, 1'000'000'000);
    a[5] = 1;
    (void)alloc<std::byte>(buffer, 1);
  };
  static_assert(peak_bytes(f) == 16 + 4'000'000'000 + 1);
  BOOST_TEST(peak_bytes(f) == 16 + 4'000'000'000u + 1);
}

BOOST_AUTO_TEST_CASE(what_a_buffer_refuses) {
  dry_run dry, other;
  const auto a = alloc<double>(dry, 10);
  const auto foreign = alloc<double>(other, 1000);
  const std::size_t used = dry.used(), peak = dry.peak();
  BOOST_CHECK_THROW((void)dry.allocate(1, 3), std::invalid_argument);
  BOOST_CHECK_THROW((void)dry.allocate(1, 0), std::invalid_argument);
  BOOST_CHECK_THROW((void)dry.allocate(SIZE_MAX), std::bad_alloc);
  BOOST_CHECK_THROW((void)dry.allocate(PTRDIFF_MAX), std::bad_alloc);
  BOOST_CHECK_THROW((void)dry.allocate(1, std::size_t{1} << 63), std::bad_alloc);
  BOOST_CHECK_THROW((void)dry.allocate(PTRDIFF_MAX - 100, std::size_t{1} << 62), std::bad_alloc);
  BOOST_CHECK_THROW((void)alloc<double>(dry, SIZE_MAX / 4), std::bad_array_new_length);
  BOOST_CHECK_THROW((void)alloc<double>(dry, -1), std::invalid_argument);
  BOOST_CHECK_THROW(drop(dry, a, foreign), std::invalid_argument);
  BOOST_CHECK_THROW(drop(dry, a, a), std::invalid_argument);
  BOOST_CHECK_THROW((void)reshape_buffer<double>(dry, 1), buffers::order_error);
  BOOST_TEST(dry.used() == used);
  BOOST_TEST(dry.peak() == peak);
  const auto cp = dry.checkpoint();
  BOOST_CHECK_THROW(other.restore(cp), buffers::order_error);
  const auto younger = dry.checkpoint();
  {
    buffers::scope inner{dry};
    BOOST_CHECK_THROW(dry.restore(cp), buffers::order_error);
    BOOST_CHECK_THROW(dry.reset(), buffers::order_error);
  }
  dry.restore(cp);
  BOOST_CHECK_THROW(dry.restore(younger), buffers::order_error);
  dry.reset();
  BOOST_CHECK_THROW(dry.restore(cp), buffers::order_error);
  (void)reshape_buffer<double>(dry, 100);
  BOOST_CHECK_THROW((void)alloc<double>(dry, 1), buffers::order_error);
  BOOST_CHECK_THROW((void)dry.allocate(0), buffers::order_error);
  BOOST_TEST(dry.used() == 0u);
  dry.reset();
  BOOST_TEST(dry.peak() == doubles(100));
  dry.reset_peak();
  BOOST_TEST(dry.peak() == 0u);
}

BOOST_AUTO_TEST_CASE(many_blocks_dropped_out_of_order) {
  dry_run dry;
  std::vector<std::mdspan<char, std::dextents<std::size_t, 1>>> views;
  for (int i = 0; i < 1000; ++i) views.push_back(alloc<char>(dry, 20));
  for (std::size_t i = 0; i < 999; i += 2) drop(dry, views[i]);
  for (std::size_t i = 1; i < 999; i += 2) drop(dry, views[i]);
  BOOST_TEST(dry.used() == 999 * 32u + 20);
  drop(dry, views[999]);
  BOOST_TEST(dry.used() == 0u);
  BOOST_TEST(dry.peak() == 999 * 32u + 20);
}

BOOST_AUTO_TEST_CASE(random_programs_need_what_a_dry_run_counts) {
  std::size_t exhausted = 0;
  for (unsigned seed = 1; seed <= 4000; ++seed) {
    const random_program f(seed, 6);
    dry_run dry;
    const std::size_t grown = f(dry), n = dry.peak();
    BOOST_TEST_CONTEXT("seed " << seed << ", " << n << " bytes") {
      bump_resource exact{n};
      BOOST_REQUIRE_NO_THROW(f(exact));
      BOOST_REQUIRE(exact.peak() == n);
      BOOST_REQUIRE(exact.used() == dry.used());
      bump_resource too_small{n - 1};
      try {
        BOOST_REQUIRE(f(too_small) < grown);
      } catch (const buffers::exhausted&) {
        ++exhausted;
      }
    }
  }
  BOOST_TEST(exhausted > 3500u);
}

BOOST_AUTO_TEST_CASE(random_programs_with_any_alignment_never_need_more) {
  constexpr std::size_t strictest = 1024;
  std::unique_ptr<std::byte, void (*)(void*)> memory(
      static_cast<std::byte*>(std::aligned_alloc(strictest, std::size_t{1} << 20)), std::free);
  std::size_t exact = 0, programs = 0;
  for (unsigned seed = 1; seed <= 1000; ++seed) {
    const random_program f(seed, 10, true);
    const std::size_t n = peak_bytes(f);
    BOOST_REQUIRE(n < (1u << 19));
    std::size_t most = 0;
    BOOST_TEST_CONTEXT("seed " << seed << ", " << n << " bytes") {
      for (std::size_t at = 0; at < strictest; at += 64) {
        bump_resource buffer{std::span(memory.get() + at, n)};
        BOOST_REQUIRE_NO_THROW(f(buffer));
        most = std::max(most, buffer.peak());
      }
    }
    ++programs;
    exact += most == n;
  }
  BOOST_TEST_MESSAGE(exact << " of " << programs << " programs need all of it at the worst place");
  BOOST_TEST(exact == programs);
}

// A block that is aligned to more than 16 may have padding before it, and counts as if it had.
BOOST_AUTO_TEST_CASE(grows_where_the_buffer_does) {
  const auto f = [](auto& b) {
    const auto a = alloc<char>(b, 100);
    (void)b.checkpoint();
    drop(b, a);
    {
      buffers::scope in{b};
      (void)alloc<char>(b, alignment{32}, 1);
    }
    void* block = b.allocate(2);
    if (!b.try_expand(block, 2, 400)) block = b.allocate(400);
  };
  const std::size_t n = peak_bytes(f);
  BOOST_TEST(n == 400u);
  bump_resource enough{n}, too_little{n - 1};
  BOOST_REQUIRE_NO_THROW(f(enough));
  BOOST_CHECK_THROW(f(too_little), buffers::exhausted);
}

// Memory that is not the buffer's own stays at a trim, and what lies in it.
BOOST_AUTO_TEST_CASE(a_trim_below_a_checkpoint_counts_as_over_storage) {
  const auto f = [](auto& b) {
    const auto a = alloc<char>(b, 100);
    const auto cp = b.checkpoint();
    drop(b, a);
    (void)b.trim(0);
    b.restore(cp);
    (void)alloc<char>(b, 100);
  };
  const std::size_t n = peak_bytes(f);
  BOOST_TEST(n == 212u);
  alignas(64) std::array<std::byte, 212> storage;
  bump_resource exact{std::span(storage)}, too_small{std::span(storage).first(211)}, owner{100};
  BOOST_CHECK_NO_THROW(f(exact));
  BOOST_CHECK_THROW(f(too_small), buffers::exhausted);
  BOOST_CHECK_NO_THROW(f(owner));
}

BOOST_AUTO_TEST_SUITE_END()
