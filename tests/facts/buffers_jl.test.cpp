// What the tests and the documentation of Buffers.jl state, T1 to T13, with our outcome. There a size is a number of
// elements; here it is bytes.
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <mdspan>
#include <memory>
#include <memory_resource>
#include <optional>
#include <span>
#include <thread>
#include <vector>
#include "support/require.hpp"
import buffers;
import buffers.testing;

using buffers::alloc;
using buffers::bump_resource;
using buffers::drop;
using buffers::neuralyze;
using buffers::reshape_buffer;
using buffers::reshape_buffer_at;
using buffers::slab_resource;

namespace {

constexpr std::size_t doubles(std::size_t count) { return count * sizeof(double); }

void fill(const auto& view, double value) {
  for (std::size_t i = 0; i < view.size(); ++i) view.data_handle()[i] = value;
}

/// T5: arrays of rank 1 to 4, and drops ...
void workload_of_arrays(auto& buffer) {
  const auto a = alloc<double>(buffer, 2);
  const auto b = alloc<double>(buffer, 2, 2);
  const auto c = alloc<double>(buffer, 2, 2, 2);
  const auto d = alloc<double>(buffer, 2, 2, 2, 2);
  for (std::size_t i = 0; i < d.size(); ++i) d.data_handle()[i] = 1.0;
  require(buffer.used() == doubles(30));
  drop(buffer, d);
  require(buffer.used() == doubles(14));
  drop(buffer, b, c);
  require(buffer.used() == doubles(2));
  require(neuralyze(a).data_handle() == a.data_handle());
}

/// ... and then the same memory in four shapes.
void workload_of_shapes(auto& buffer) {
  const void* const first = reshape_buffer<double>(buffer, 2).data_handle();
  require(reshape_buffer<double>(buffer, 2, 2).data_handle() == first);
  require(reshape_buffer<double>(buffer, 2, 2, 2).data_handle() == first);
  require(reshape_buffer<double>(buffer, 2, 2, 2, 2).data_handle() == first);
  require(buffer.used() == 0u);  // the original says -1
}

void workload(auto& buffer) {
  workload_of_arrays(buffer);
  buffer.reset();
  workload_of_shapes(buffer);
  buffer.reset();
}

/// The same in a task, whose buffer is given back in between.
template <class R>
void workload_of_a_task(buffers::thread_resource<R>& buffer) {
  workload_of_arrays(buffer.local());
  buffer.reset();
  workload_of_shapes(buffer.local());
  buffer.reset();
}

/// So many buffers of 100 elements each, for whatever thread needs one.
buffers::thread_options<bump_resource> of_100_elements(std::size_t max_buffers) {
  return {.make = [] { return std::make_unique<bump_resource>(doubles(100)); }, .max_buffers = max_buffers};
}

/// T11: what needs 3200 elements when small and 4300 when not.
template <class R>
void contraction(R& buffer, bool small) {
  (void)alloc<double>(buffer, 10, 10, small ? 20 : 30);
  const auto b = alloc<double>(buffer, 10, 100);
  const auto c = alloc<double>(buffer, small ? 10 : 15, 20);
  require(b.size() == 1000u);
  require(c.size() == (small ? 200u : 300u));
  drop(buffer, b, c);
  buffer.reset();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(buffers_jl)

BOOST_AUTO_TEST_CASE(T1_two_arrays_fill_a_buffer_of_100) {
  buffers::test_resource upstream;
  bump_resource buffer{doubles(100), &upstream};
  const auto a = alloc<double>(buffer, 10);
  const auto b = alloc<double>(buffer, 9, 10);
  BOOST_TEST(buffer.used() == doubles(100));
  fill(a, 1.0);
  for (std::size_t row = 0; row < 9; ++row)
    for (std::size_t i = 0; i < 10; ++i) b[row, i] = a[i];
  BOOST_TEST((b[8, 9]) == 1.0);
  drop(buffer, a, b);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(upstream.allocations() == 1u);
}

BOOST_AUTO_TEST_CASE(T2_one_array_fills_a_buffer_that_is_freed_at_the_end) {
  buffers::test_resource upstream;
  {
    bump_resource buffer{doubles(10), &upstream};
    const auto a = alloc<double>(buffer, 10);
    BOOST_CHECK_THROW((void)alloc<double>(buffer, 1), buffers::exhausted);
    fill(a, 1.0);
    drop(buffer, a);
    BOOST_TEST(buffer.used() == 0u);
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(T3_two_buffers) {
  bump_resource first{doubles(10)}, second{doubles(10)};
  const auto a = alloc<double>(first, 10), b = alloc<double>(second, 10);
  fill(a, 1.0);
  for (std::size_t i = 0; i < 10; ++i) b[i] = a[i];
  for (std::size_t i = 0; i < 10; ++i) BOOST_TEST(b[i] == 1.0);
  drop(first, a);
  drop(second, b);
  BOOST_TEST(first.used() + second.used() == 0u);
}

BOOST_AUTO_TEST_CASE(T4_ten_tasks_fill_the_columns_of_a_matrix) {
  bump_resource buffer{doubles(100)};
  for (const bool on_threads : {false, true})
    for (const std::size_t max_buffers : {1uz, 2uz, 0uz}) {
      const auto c = alloc<double, std::layout_left>(buffer, 10, 10);
      fill(c, 0.0);
      buffers::thread_resource<bump_resource> tbuf{of_100_elements(max_buffers)};
      const auto task = [&](std::size_t column) {
        const auto a = alloc<double>(tbuf, 10);
        fill(a, 1.0);
        for (std::size_t i = 0; i < 10; ++i) c[i, column] = a[i];
        drop(tbuf, a);
        tbuf.reset();
      };
      if (on_threads) {
        std::vector<std::thread> threads;
        for (std::size_t column = 0; column < 10; ++column) threads.emplace_back(task, column);
        for (std::thread& thread : threads) thread.join();
      } else {
        tbb::parallel_for(0uz, 10uz, task, tbb::simple_partitioner());
      }
      for (std::size_t i = 0; i < 10; ++i)
        for (std::size_t j = 0; j < 10; ++j) BOOST_TEST((c[i, j]) == 1.0);
      BOOST_TEST((max_buffers == 0 || tbuf.size() <= max_buffers));
      BOOST_TEST(tbuf.used() == 0u);
      drop(buffer, c);
      BOOST_TEST(buffer.used() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(T5_arrays_of_several_ranks_and_reshapes) {
  bump_resource fixed{doubles(100)};
  workload(fixed);
  slab_resource growing{{.first_slab = doubles(100)}};
  workload(growing);
}

BOOST_AUTO_TEST_CASE(T6_the_same_in_two_tasks) {
  buffers::thread_resource<bump_resource> fixed{of_100_elements(2)};
  tbb::parallel_for(0, 2, [&](int) { workload_of_a_task(fixed); });
  buffers::thread_resource<> growing;
  tbb::parallel_for(0, 2, [&](int) { workload_of_a_task(growing); });
  BOOST_TEST(growing.used() == 0u);
  tbb::parallel_for(0, 2, [](int) { workload(buffers::default_buffer()); });
}

BOOST_AUTO_TEST_CASE(T7_the_same_with_a_fixed_buffer_and_in_a_parallel_loop) {
  buffers::test_resource upstream;
  {
    bump_resource buffer{doubles(100), &upstream};
    workload(buffer);
    buffers::thread_resource<bump_resource> tbuf{
        {.make = [&] { return std::make_unique<bump_resource>(doubles(100), &upstream); }}};
    tbb::parallel_for(0, 2, [&](int) { workload_of_a_task(tbuf); });
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(T8_the_whole_buffer_reshaped_and_then_allocated_from_in_a_parallel_loop) {
  buffers::thread_resource<bump_resource> tbuf{
      {.make = [] { return std::make_unique<bump_resource>(doubles(200)); }, .max_buffers = 4}};
  tbb::parallel_for(0, 20, [&](int) {
    fill(reshape_buffer<double>(tbuf, tbuf.local().capacity() / sizeof(double)), 1.0);
    tbuf.reset();
    fill(alloc<double>(tbuf, 10, 10), 2.0);
    fill(alloc<double>(tbuf, 10, 10), 3.0);
    require(tbuf.local().used() == doubles(200));
    tbuf.reset();
  });
  BOOST_TEST(tbuf.used() == 0u);
  BOOST_TEST(tbuf.peak() == tbuf.size() * doubles(200));
}

BOOST_AUTO_TEST_CASE(T9_two_arrays_and_a_reshape_at_an_offset) {
  bump_resource buffer{doubles(1000)};
  (void)alloc<double>(buffer, 10, 10);
  (void)alloc<double>(buffer, 20, 5);
  BOOST_TEST(buffer.used() == doubles(200));
  bump_resource exact{doubles(200)}, too_small{doubles(200) - 1};
  BOOST_TEST(reshape_buffer_at<double>(exact, 100, 20, 5).size() == 100u);
  BOOST_CHECK_THROW((void)reshape_buffer_at<double>(too_small, 100, 20, 5), buffers::exhausted);
}

BOOST_AUTO_TEST_CASE(T10_the_second_view_begins_at_element_2000) {
  bump_resource buffer{doubles(3000)};
  const auto a = reshape_buffer<double>(buffer, 10, 10, 20);
  const auto b = reshape_buffer_at<double>(buffer, 2000, 10, 10, 10);
  BOOST_TEST(b.data_handle() == a.data_handle() + 2000);
}

BOOST_AUTO_TEST_CASE(T11_the_peak_of_a_run_is_the_size_to_allocate) {
  for (bool small : {true, false}) {
    slab_resource measured;
    contraction(measured, small);
    BOOST_TEST(measured.peak() == doubles(small ? 3200 : 4300));
    BOOST_TEST(buffers::peak_bytes([&](auto& buffer) { contraction(buffer, small); }) == measured.peak());
    bump_resource exact{measured.peak()};
    BOOST_CHECK_NO_THROW(contraction(exact, small));
    bump_resource too_small{measured.peak() - 1};
    BOOST_CHECK_THROW(contraction(too_small, small), buffers::exhausted);
  }
}

BOOST_AUTO_TEST_CASE(T12_the_peaks_of_two_buffers) {
  const auto program = [](auto& first, auto& second) {
    const auto a = alloc<double>(first, 10, 10, 20);
    const auto b = alloc<double>(second, 10, 10);
    drop(first, a);
    drop(second, b);
  };
  slab_resource first, second;
  program(first, second);
  BOOST_TEST(first.peak() == doubles(2000));
  BOOST_TEST(second.peak() == doubles(100));
  buffers::dry_run dry_first, dry_second;
  program(dry_first, dry_second);
  BOOST_TEST(dry_first.peak() == first.peak());
  BOOST_TEST(dry_second.peak() == second.peak());
  bump_resource exact_first{first.peak()}, exact_second{second.peak()};
  BOOST_CHECK_NO_THROW(program(exact_first, exact_second));
}

BOOST_AUTO_TEST_CASE(T13_the_second_buffer_is_freed_first) {
  struct noting : std::pmr::memory_resource {
    std::vector<std::size_t> freed;
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      freed.push_back(bytes);
      std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } upstream;
  {
    bump_resource first{doubles(10), &upstream}, second{doubles(20), &upstream};
    (void)alloc<double>(first, 10);
    (void)alloc<double>(second, 20);
  }
  BOOST_TEST((upstream.freed == std::vector<std::size_t>{doubles(20), doubles(10)}));
}

BOOST_AUTO_TEST_SUITE_END()
