// buffers_tour: the examples of the usage guide of Buffers.jl, a Julia package of buffers for tensors, and of its page
// on how large a buffer has to be, in the order in which they stand there. Each shows what it does and checks it.
//
//     buffers_tour
//
// Exit code: 0; 1 when a result is not as it has to be, or cannot be printed.
#include <algorithm>
#include <array>
#include <cstddef>
#include <iostream>
#include <mdspan>
#include <memory>
#include <print>
#include <random>
#include <span>
#include <stdexcept>

#include "tour.hpp"

import buffers;

namespace {

using tour::check;

template <class View>
std::span<typename View::element_type> elements(const View& view) {
  return {view.data_handle(), view.size()};
}

// The buffers of the guide are counted in elements, and these are double where it does not say otherwise.
constexpr std::size_t of_doubles(std::size_t count) { return count * sizeof(double); }

void fill_randomly(auto view) {
  static thread_local std::mt19937_64 random{42};
  std::ranges::generate(elements(view), [] { return std::uniform_real_distribution(0.0, 1.0)(random); });
}

// --- The guide -------------------------------------------------------------------------------------------------------

void creating_a_buffer() {
  tour::heading("Creating a buffer");
  buffers::slab_resource buffer;  // of bytes: what the elements are is said at each allocation
  std::println("a new buffer: {} bytes used, {} bytes held", buffer.used(), buffer.capacity());
  check(buffer.capacity() == 0);

  buffers::slab_resource with_size{{.first_slab = of_doubles(100)}};
  const auto a = buffers::alloc<double>(with_size, 50);
  std::println("with a first size: {} bytes used, {} bytes held", with_size.used(), with_size.capacity());
  check(a.size() == 50 && with_size.capacity() >= of_doubles(100));
  const auto b = buffers::alloc<double>(with_size, 500);  // and it still grows
  check(b.size() == 500 && with_size.used() == of_doubles(550));
}

void a_fixed_buffer() {
  tour::heading("A buffer of a fixed size");
  buffers::bump_resource buffer{of_doubles(1000)};
  [[maybe_unused]] const auto a = buffers::alloc<double>(buffer, 10, 10);
  std::println("{} of {} bytes used", buffer.used(), buffer.capacity());
  std::println("ten times as much:");
  check(tour::throws<buffers::exhausted>([&] { static_cast<void>(buffers::alloc<double>(buffer, 10, 10, 10)); }));
  check(buffer.used() == of_doubles(100));
  buffer.release();  // the memory is free; at the end of the block it would have been by itself
  check(buffer.used() == 0);
}

void buffers_for_threads() {
  tour::heading("Buffers for threads");
  // A thread gets a buffer of its own from it: what one of them allocates is out of the way of all others. Here there
  // are two, each for 1000 doubles, and a thread that finds both in use waits for one.
  buffers::thread_resource<buffers::bump_resource> tbuffer{
      {.make = [] { return std::make_unique<buffers::bump_resource>(of_doubles(1000)); }, .max_buffers = 2}};
  double sums[4];
  tour::on_threads(4, [&](int i) {
    const auto a = buffers::alloc<double>(tbuffer, 10, 10);
    std::ranges::fill(elements(a), i);
    sums[i] = 0;
    for (const double element : elements(a)) sums[i] += element;
    tbuffer.reset();  // drops a, and gives the buffer back for the next thread
  });
  std::println("sums of four threads: {} {} {} {}", sums[0], sums[1], sums[2], sums[3]);
  std::println("buffers made for them: {}", tbuffer.size());
  check(sums[0] == 0 && sums[1] == 100 && sums[2] == 200 && sums[3] == 300);
  check(tbuffer.size() <= 2 && tbuffer.used() == 0);

  // With a buffer inside of a function, it is given back at its end, by an exception as well.
  const auto size = tbuffer.with_buffer([](auto& buffer) { return buffers::alloc<double>(buffer, 10, 10).size(); });
  check(size == 100 && tbuffer.used() == 0);

  // Threads that forget theirs and go on: the buffers are taken from them, here from this one.
  static_cast<void>(buffers::alloc<double>(tbuffer, 10, 10));
  std::println("forgotten: {} bytes; release refuses:", tbuffer.used());
  check(tour::throws<buffers::order_error>([&] { tbuffer.release(); }));
  tbuffer.repair();
  std::println("after a repair: {} bytes", tbuffer.used());
  check(tbuffer.used() == 0);
}

void buffers_for_a_block() {
  tour::heading("Buffers for a block");
  {
    buffers::bump_resource buf{1000 * sizeof(int)};
    const auto a = buffers::alloc<int>(buf, 10, 10);
    std::println("one buffer: {} bytes of int", buf.used());
    check(a.size() == 100 && buf.used() == 100 * sizeof(int));
  }  // buf is gone
  {
    buffers::bump_resource buf1{1000 * sizeof(int)}, buf2{of_doubles(2000)};
    [[maybe_unused]] const auto a = buffers::alloc<int>(buf1, 10, 10);
    [[maybe_unused]] const auto b = buffers::alloc<double>(buf2, 20, 5);
    std::println("two buffers: {} bytes of int, {} of double", buf1.used(), buf2.used());
    check(buf1.used() == 100 * sizeof(int) && buf2.used() == of_doubles(100));
  }
  // In threads, of a fixed size; gone at the end of the block.
  buffers::thread_resource<buffers::bump_resource> tbuf{
      {.make = [] { return std::make_unique<buffers::bump_resource>(of_doubles(1000)); }}};
  std::size_t used[4];
  tour::on_threads(4, [&](int i) {
    const auto a = buffers::alloc<double>(tbuf, 10, 10);
    used[i] = tbuf.local().used();
    buffers::drop(tbuf, a);
    check(tbuf.local().used() == 0);
    tbuf.reset();
  });
  std::println("four threads: {} {} {} {} bytes", used[0], used[1], used[2], used[3]);
  check(std::ranges::count(used, of_doubles(100)) == 4);
}

void alloc_drop_reset() {
  tour::heading("Allocation, deallocation, reset");
  buffers::slab_resource buffer{{.first_slab = of_doubles(1000)}};
  const auto a = buffers::alloc<double>(buffer, 10, 10);  // 10 x 10
  const auto b = buffers::alloc<double>(buffer, 20, 5);   // 20 x 5
  std::println("two tensors: {} bytes", buffer.used());
  check(buffer.used() == of_doubles(200));

  buffers::drop(buffer, a);  // the older one: its memory comes back when it is the last
  std::println("the older one dropped: {} bytes", buffer.used());
  check(buffer.used() == of_doubles(200));
  buffers::drop(buffer, b);
  std::println("both dropped: {} bytes", buffer.used());
  check(buffer.used() == 0);

  std::println("dropped twice:");
  check(tour::throws<std::invalid_argument>([&] { buffers::drop(buffer, a); }));

  [[maybe_unused]] const auto c = buffers::alloc<double>(buffer, 30);
  buffer.reset();
  std::println("after a reset: {} bytes", buffer.used());
  check(buffer.used() == 0);
}

void releasing() {
  tour::heading("Releasing a thread's buffer");
  buffers::thread_resource<> tbuffer{{.max_buffers = 1}};
  tour::on_threads(4, [&](int) {
    const auto a = buffers::alloc<double>(tbuffer, 10, 10);
    buffers::drop(tbuffer, a);
    tbuffer.release();  // for the next thread; it has to be empty, which reset() would make it
  });
  std::println("four threads on {} buffer of {} bytes", tbuffer.size(), tbuffer.capacity());
  check(tbuffer.size() == 1 && tbuffer.used() == 0 && tbuffer.peak() == of_doubles(100));
}

void reshaping_and_neuralyzing() {
  tour::heading("The buffer itself as a tensor");
  buffers::bump_resource buffer{of_doubles(1000)};
  const auto a = buffers::reshape_buffer<double>(buffer, 10, 10);
  const auto b = buffers::reshape_buffer_at<double>(buffer, 100, 20, 5);  // from element 100 on
  std::ranges::fill(elements(a), 1);
  std::ranges::fill(elements(b), 2);
  std::println("{} + {} elements, {} bytes used", a.size(), b.size(), buffer.used());
  check(b.data_handle() == a.data_handle() + 100 && a[9, 9] == 1 && buffer.used() == 0);

  const auto again = buffers::reshape_buffer<double>(buffer, 200);
  std::println("element 99 is {}, element 100 is {}", again[99], again[100]);
  check(again[99] == 1 && again[100] == 2);

  std::println("an allocation in between:");
  check(tour::throws<buffers::order_error>([&] { static_cast<void>(buffers::alloc<double>(buffer, 10, 10)); }));

  tour::heading("A tensor without a past");
  buffer.reset();
  const auto t = buffers::alloc<double>(buffer, 10, 10);
  const auto tn = buffers::neuralyze(t);  // the compiler does not know that this is the memory of t
  fill_randomly(tn);
  std::println("the same memory: {}", tn.data_handle() == t.data_handle());
  check(tn.data_handle() == t.data_handle() && tn.extents() == t.extents() && tn[3, 4] == t[3, 4]);
}

void complete_example() {
  tour::heading("Complete example");
  buffers::slab_resource buffer{{.first_slab = of_doubles(1000)}};
  const auto a = buffers::alloc<double>(buffer, 10, 10);
  const auto b = buffers::alloc<double>(buffer, 20, 5);
  fill_randomly(a);
  fill_randomly(b);
  check(std::ranges::all_of(elements(a), [](double element) { return element >= 0 && element < 1; }));
  buffers::drop(buffer, a);
  buffers::drop(buffer, b);

  buffers::thread_resource<buffers::bump_resource> tbuffer;
  tour::on_threads(4, [&](int) {
    const auto ta = buffers::alloc<double>(tbuffer, 10, 10);
    const auto tb = buffers::alloc<double>(tbuffer, 20, 5);
    fill_randomly(ta);
    fill_randomly(tb);
    buffers::drop(tbuffer, ta, tb);
    check(tbuffer.local().used() == 0);
    tbuffer.reset();
  });

  const auto c = buffers::reshape_buffer<double>(buffer, 10, 10);
  const auto d = buffers::reshape_buffer_at<double>(buffer, 100, 20, 5);
  std::ranges::fill(elements(c), 3);
  std::ranges::fill(elements(d), 4);
  std::println("{} and {}", c[9, 9], d[0, 0]);
  check(c[9, 9] == 3 && d[0, 0] == 4);
}

// --- How large a buffer has to be ------------------------------------------------------------------------------------

// A[i,j,k] = sum over l of B[i,j,l] * C[l,k]. Returns the sum of A. Each kind of buffer, and a dry_run, can be passed.
template <class Buffer>
double contraction(Buffer& buf, bool small) {
  const auto a = buffers::alloc<double>(buf, 10, 10, small ? 20 : 30);
  const auto b = buffers::alloc<double>(buf, 10, 10, 10);
  const auto c = buffers::alloc<double>(buf, 10, small ? 20 : 30);
  double sum = 0;
  if constexpr (!buffers::is_dry_run<Buffer>) {  // what is only counted need not be calculated
    fill_randomly(b);
    fill_randomly(c);
    const auto an = buffers::neuralyze(a);
    for (std::size_t i = 0; i < an.extent(0); ++i)
      for (std::size_t j = 0; j < an.extent(1); ++j)
        for (std::size_t k = 0; k < an.extent(2); ++k) {
          an[i, j, k] = 0;
          for (std::size_t l = 0; l < b.extent(2); ++l) an[i, j, k] += b[i, j, l] * c[l, k];
          sum += an[i, j, k];
        }
  }
  buffers::drop(buf, b, c);
  check(buf.used() == a.size() * sizeof(double));
  buf.reset();
  return sum;
}

void how_large() {
  tour::heading("How large a buffer has to be");
  for (const bool small : {true, false}) {
    const std::size_t bytes = buffers::peak_bytes([&](auto& buf) { return contraction(buf, small); });
    std::println("the {} contraction needs {} bytes, {} elements", small ? "small" : "large", bytes,
                 bytes / sizeof(double));
    check(bytes == of_doubles(small ? 3200 : 4300));

    buffers::bump_resource exact{bytes};
    check(contraction(exact, small) > 0);
    std::println("a buffer of exactly that size suffices, and one byte less does not:");
    buffers::bump_resource too_small{bytes - 1};
    check(tour::throws<buffers::exhausted>([&] { contraction(too_small, small); }));
  }
  // The function that says so, from a run: here it is printed, to be looked at or kept.
  buffers::slab_resource buf;
  buffers::print_usage(std::cout, [](auto& b) { return contraction(b, true); }, buf);
  check(buf.peak() == of_doubles(3200));
}

constexpr auto on_two_buffers = [](auto& buf1, auto& buf2) {
  const auto a = buffers::alloc<double>(buf1, 10, 10, 20);
  const auto b = buffers::alloc<double>(buf2, 20, 5);
  a[9, 9, 19] = b[19, 4] = 1;  // on a dry_run as well: by index, not by pointer
  buffers::drop(buf1, a);
  buffers::drop(buf2, b);
  buf1.reset();
  buf2.reset();
};

void how_large_are_two() {
  tour::heading("How large two buffers have to be");
  buffers::slab_resource buf1, buf2;
  buffers::print_usage(std::cout, on_two_buffers, buf1, buf2);
  check(buf1.peak() == of_doubles(2000) && buf2.peak() == of_doubles(100));

  // Or without running it on anything real, by the compiler.
  constexpr auto bytes = [] {
    buffers::dry_run dry1, dry2;
    on_two_buffers(dry1, dry2);
    return std::array{dry1.peak(), dry2.peak()};
  }();
  static_assert(bytes[0] == of_doubles(2000) && bytes[1] == of_doubles(100));
  buffers::bump_resource exact1{bytes[0]}, exact2{bytes[1]};
  on_two_buffers(exact1, exact2);
}

}  // namespace

int main() {
  creating_a_buffer();
  a_fixed_buffer();
  buffers_for_threads();
  buffers_for_a_block();
  alloc_drop_reset();
  releasing();
  reshaping_and_neuralyzing();
  complete_example();
  how_large();
  how_large_are_two();
  return tour::exit_code();
}
