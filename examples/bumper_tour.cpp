// bumper_tour: the examples of the README of Bumper.jl, a Julia package of bump allocators, in the order in which they
// stand there. Each shows what it does and checks it.
//
//     bumper_tour
//
// Exit code: 0; 1 when a result is not the one that the README states, or cannot be printed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <new>
#include <numeric>
#include <print>
#include <random>
#include <span>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

#include "measure.hpp"
#include "tour.hpp"

import buffers;

namespace {

using tour::check;
using integers = std::span<const std::int64_t>;

// --- Basics ----------------------------------------------------------------------------------------------------------

// The three functions here are not inlined, so that the times below are those of calls with whatever x.

// y = x + 1, and the sum of y. The array y lies in this thread's default buffer and is gone at the end; its sum may
// leave.
[[gnu::noinline]] std::int64_t f(integers x) {
  return buffers::no_escape([&](auto& buffer) {
    const auto y = buffers::alloc<std::int64_t>(buffer, x.size());
    const std::span elements(y.data_handle(), y.size());
    std::ranges::transform(x, elements.begin(), [](std::int64_t element) { return element + 1; });
    return std::reduce(elements.begin(), elements.end());
  });
}

// The same with an array on the heap.
[[gnu::noinline]] std::int64_t g(integers x) {
  std::vector<std::int64_t> y(x.size());
  std::ranges::transform(x, y.begin(), [](std::int64_t element) { return element + 1; });
  return std::reduce(y.begin(), y.end());
}

// The same with a buffer that the caller chooses: of any type that a scope can be opened on.
template <buffers::checkpointable Buffer>
[[gnu::noinline]] std::int64_t f(integers x, Buffer& chosen) {
  return buffers::no_escape(chosen, [&](auto& buffer) {
    const auto y = buffers::alloc<std::int64_t>(buffer, x.size());
    const std::span elements(y.data_handle(), y.size());
    std::ranges::transform(x, elements.begin(), [](std::int64_t element) { return element + 1; });
    return std::reduce(elements.begin(), elements.end());
  });
}

const std::vector<std::int64_t> one_two_three{1, 2, 3};

void basics() {
  tour::heading("Basics: memory that does not leave a block");
  std::println("f([1, 2, 3]) = {}", f(one_two_three));
  check(f(one_two_three) == 9);
  check(buffers::default_buffer().used() == 0);
}

void benchmarks() {
  tour::heading("Basics: how long it takes");
  std::mt19937 random{1};
  std::vector<std::int64_t> x(30);
  std::ranges::generate(x, [&] { return std::uniform_int_distribution<std::int64_t>(1, 10)(random); });
  auto& buffer = buffers::default_buffer();
  check(f(x) == g(x) && f(x, buffer) == g(x));

  constexpr int calls = 1000;
  std::int64_t sum = 0;
  const auto many = [&](auto call) {
    return [&sum, call] {
      for (int i = 0; i < calls; ++i) sum += call();
    };
  };
  const auto [with_default, with_explicit, on_heap] =
      median_times(201, many([&] { return f(x); }), many([&] { return f(x, buffer); }), many([&] { return g(x); }));
  check(sum == 3 * 201 * calls * g(x));

  const auto row = [&](std::string_view what, double time) {
    std::println("  {:<28}{:>8.1f} ns a call, {:.2f} of g(x)'s", what, 1e9 * time / calls, time / on_heap);
  };
  row("f(x), the default buffer", with_default);
  row("f(x, buffer)", with_explicit);
  row("g(x), std::vector", on_heap);
}

void explicit_buffers() {
  tour::heading("Basics: buffers of one's own");
  buffers::bump_resource fixed{64};  // 64 bytes and no more
  buffers::slab_resource growing;    // as many as it takes
  std::println("f([1, 2, 3], fixed) = {}, f([1, 2, 3], growing) = {}", f(one_two_three, fixed),
               f(one_two_three, growing));
  check(f(one_two_three, fixed) == 9 && f(one_two_three, growing) == 9);

  std::println("f of 1000 numbers, growing: {}", f(std::vector<std::int64_t>(1000, 1), growing));
  std::println("f of 1000 numbers, fixed:");
  check(tour::throws<buffers::exhausted>([&] { f(std::vector<std::int64_t>(1000, 1), fixed); }));
  check(fixed.used() == 0);
}

// --- Important notes -------------------------------------------------------------------------------------------------

// Whether no_escape takes a function with that result.
template <class Result>
concept may_leave = requires(buffers::slab_resource& buffer, Result (&function)(buffers::slab_resource&)) {
  buffers::no_escape(buffer, function);
};

static_assert(may_leave<std::int64_t> && may_leave<void> && may_leave<std::vector<double>>);
static_assert(!may_leave<double*> && !may_leave<double&> && !may_leave<std::span<double>>);
static_assert(!may_leave<std::mdspan<double, std::dextents<std::size_t, 2>>>);
static_assert(!may_leave<std::pmr::vector<double>> && !may_leave<std::tuple<int, std::string_view>>);

// The same for a lambda that tries to let its array out.
template <class Function>
concept compiles =
    requires(buffers::slab_resource& buffer, Function function) { buffers::no_escape(buffer, function); };

constexpr auto leak = [](auto& buffer) { return buffers::alloc<double>(buffer, 10); };
constexpr auto no_leak = [](auto& buffer) { return buffers::alloc<double>(buffer, 10).size(); };
static_assert(!compiles<decltype(leak)>);
static_assert(compiles<decltype(no_leak)>);

void important_notes() {
  tour::heading("Important notes: blocks nest, and each ends as it began");
  buffers::slab_resource buffer;
  {
    buffers::scope outer{buffer};
    const auto a = buffers::alloc<double>(buffer, 10);
    a[0] = 1;
    std::println("outer block: {} bytes", buffer.used());
    check(buffer.used() == 80);
    {
      buffers::scope inner{buffer};
      [[maybe_unused]] const auto b = buffers::alloc<double>(buffer, 20);
      std::println("inner block: {} bytes", buffer.used());
      check(buffer.used() == 240);
    }
    std::println("outer block: {} bytes", buffer.used());
    check(buffer.used() == 80 && a[0] == 1);
  }
  check(buffer.used() == 0);

  // Unlike in Julia, a block may be left in every way.
  const auto first_square_above = [&](std::int64_t limit) {
    for (std::int64_t n = 1;; ++n) {
      buffers::scope inner{buffer};
      const auto square = buffers::alloc<std::int64_t>(buffer);
      square[] = n * n;
      if (square[] > limit) return square[];
    }
  };
  std::println("returned from within a block: {}, and {} bytes are in use", first_square_above(50), buffer.used());
  check(first_square_above(50) == 64 && buffer.used() == 0);

  // An array that is allocated outside of any block stays until the buffer is reset.
  [[maybe_unused]] const auto forgotten = buffers::alloc<double>(buffer, 100);
  check(buffer.used() == 800);
  buffer.reset();
  std::println("after reset: {} bytes", buffer.used());
  check(buffer.used() == 0);
}

// --- Concurrency and parallelism -------------------------------------------------------------------------------------

void concurrency() {
  tour::heading("Concurrency and parallelism: a default buffer for each thread");
  const auto* const b = &buffers::default_buffer();
  bool same = true;
  std::thread([&] { same = &buffers::default_buffer() == b; }).join();
  std::println("another thread's default buffer is this one's: {}", same);
  check(!same);

  const auto* const b2 = &buffers::default_buffer();
  std::println("this thread's is the same at each call: {}", b2 == b);
  check(b2 == b);

  std::int64_t results[4];
  tour::on_threads(4, [&](int i) { results[i] = f(one_two_three); });
  check(std::ranges::count(results, 9) == 4);
}

// --- Allocators ------------------------------------------------------------------------------------------------------

// Counts how often a buffer asks for memory.
class counting_resource : public std::pmr::memory_resource {
 public:
  int requests = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++requests;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

void slab_edge() {
  tour::heading("Allocators: slab_resource, at the edge of a slab");
  constexpr std::size_t n = 16 * 1024;
  counting_resource upstream;
  buffers::slab_resource buffer{{.first_slab = n}, &upstream};
  std::int64_t sum = 0;
  {
    buffers::scope outer{buffer};
    [[maybe_unused]] const auto x = buffers::alloc<std::int8_t>(buffer, n - 1);  // the first slab, almost
    for (int i = 0; i < 1000; ++i) {
      buffers::scope inner{buffer};
      const auto y = buffers::alloc<std::int8_t>(buffer, 10);  // does not fit any more: another slab
      y[0] = 1;
      sum += y[0];
    }  // the slab is no longer needed, and kept for the next time around
    check(buffer.used() == n - 1);
  }
  std::println("{} rounds, {} slabs asked for", sum, upstream.requests);
  check(sum == 1000 && upstream.requests == 2 && buffer.used() == 0);
}

void fixed_size() {
  tour::heading("Allocators: bump_resource, of a fixed size");
  buffers::bump_resource buffer;
  std::println("by default it has {} bytes", buffer.capacity());
  check(buffer.capacity() == 128 * 1024);

  alignas(16) std::byte storage[100];
  buffers::bump_resource over_storage{std::span{storage}};
  std::println("over an array on the stack: f([1, 2, 3]) = {}", f(one_two_three, over_storage));
  check(f(one_two_three, over_storage) == 9);
}

// --- Creating your own allocator types -------------------------------------------------------------------------------

void what_a_block_is() {
  tour::heading("Your own allocator: what a block does");
  buffers::slab_resource buffer;
  // buffers::no_escape(buffer, ...) comes down to this, and a scope does it when an exception passes, too.
  const auto cp = buffer.checkpoint();
  const auto y = buffers::alloc<double>(buffer, 2, 3, 4);
  y[1, 2, 3] = 5;
  const double result = y[1, 2, 3];
  std::println("before restore: {} bytes", buffer.used());
  check(buffer.used() == 2 * 3 * 4 * sizeof(double));
  buffer.restore(cp);
  std::println("after restore: {} bytes, and the result {}", buffer.used(), result);
  check(buffer.used() == 0 && result == 5);
}

// A simple fixed buffer, for which this library need not be known: these four functions are all.
class my_alloc_buffer {
 public:
  explicit my_alloc_buffer(std::size_t bytes = 16'000) : memory_(bytes) {}

  void* allocate(std::size_t bytes, std::size_t alignment) {
    void* block = memory_.data() + offset_;
    std::size_t left = memory_.size() - offset_;
    if (std::align(alignment, bytes, block, left) == nullptr) throw buffers::exhausted(bytes, left, memory_.size());
    offset_ = memory_.size() - left + bytes;
    return block;
  }
  void deallocate(void*, std::size_t, std::size_t) noexcept {}  // only restore gives back

  std::size_t checkpoint() const noexcept { return offset_; }
  void restore(std::size_t offset) noexcept { offset_ = offset; }

 private:
  std::vector<std::byte> memory_;
  std::size_t offset_ = 0;  // where the free part begins
};

static_assert(buffers::checkpointable<my_alloc_buffer>);

void your_own_allocator() {
  tour::heading("Your own allocator: my_alloc_buffer");
  my_alloc_buffer buffer{100};
  std::println("f([1, 2, 3], buffer) = {}", f(one_two_three, buffer));
  check(f(one_two_three, buffer) == 9);

  {
    buffers::scope block{buffer};
    const auto a = buffers::alloc<std::int64_t>(buffer, 3, 2);
    a[2, 1] = 4;
    check(a[2, 1] == 4 && buffer.checkpoint() >= 48);
    std::println("20 numbers in what is left of its 100 bytes:");
    check(tour::throws<buffers::exhausted>([&] { f(std::vector<std::int64_t>(20), buffer); }));
    check(a[2, 1] == 4);
  }
  check(buffer.checkpoint() == 0);  // the scope has put it back
  check(f(one_two_three, buffer) == 9);

  std::int64_t sum = 0;
  const auto [time] = median_times(201, [&] {
    for (int i = 0; i < 1000; ++i) sum += f(one_two_three, buffer);
  });
  check(sum == 201 * 1000 * 9);
  std::println("f([1, 2, 3], buffer) takes {:.1f} ns", 1e9 * time / 1000);
}

void default_of_your_own() {
  tour::heading("Your own allocator: a default buffer of that type");
  auto& mine = buffers::default_buffer<my_alloc_buffer>();
  check(&mine == &buffers::default_buffer<my_alloc_buffer>());
  bool same = true;
  std::thread([&] { same = &buffers::default_buffer<my_alloc_buffer>() == &mine; }).join();
  std::println("f([1, 2, 3], default buffer) = {}; another thread has the same one: {}", f(one_two_three, mine), same);
  check(f(one_two_three, mine) == 9 && !same);

  // And another buffer as the default, for the time of a call.
  my_alloc_buffer small{100};
  buffers::with_default(small, [&] { check(&buffers::default_buffer<my_alloc_buffer>() == &small); });
  check(&buffers::default_buffer<my_alloc_buffer>() == &mine);
}

// --- Without a runtime -----------------------------------------------------------------------------------------------

void freestanding() {
  tour::heading("Without a heap: memory from malloc, and the times table");
  constexpr std::size_t bytes = 128'000;
  const std::unique_ptr<std::byte, decltype([](std::byte* memory) { std::free(memory); })> memory{
      static_cast<std::byte*>(std::malloc(bytes))};
  if (memory == nullptr) throw std::bad_alloc();
  buffers::bump_resource buffer{std::span(memory.get(), bytes)};
  {
    buffers::scope block{buffer};
    constexpr int rows = 12, columns = 7;
    const auto m = buffers::alloc<int>(buffer, rows, columns);
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) m[i, j] = (i + 1) * (j + 1);
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < columns; ++j) std::print("{}{}", m[i, j], j + 1 < columns ? '\t' : '\n');
    check(m[11, 6] == 84);
  }
  check(buffer.used() == 0);
  std::println("(The example times_table is the whole program.)");
}

}  // namespace

int main() {
  basics();
  benchmarks();
  explicit_buffers();
  important_notes();
  concurrency();
  slab_edge();
  fixed_size();
  what_a_block_is();
  your_own_allocator();
  default_of_your_own();
  freestanding();  // cppcheck-suppress throwInEntryPoint ; where there is no memory, there is no tour
  return tour::exit_code();
}
