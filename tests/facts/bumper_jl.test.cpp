// What the tests of Bumper.jl state, B1 to B15, and those of its resizing buffer, R1 to R9, with our outcome. A block
// begins at a multiple of 16 bytes here, and right behind the one before there.
#include <tbb/parallel_for.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <future>
#include <mdspan>
#include <memory_resource>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>
#include "support/require.hpp"
import buffers;
import buffers.testing;

using buffers::alloc;
using buffers::bump_resource;
using buffers::default_buffer;
using buffers::no_escape;
using buffers::scope;
using buffers::slab_resource;
using buffers::with_default;

namespace {

const std::vector<std::int64_t> v{1, 2, 3};

/// f of the original's tests: sum(x .+ 1), with the array in a buffer.
std::int64_t sum_of_successors(const std::vector<std::int64_t>& x, auto& buffer) {
  return no_escape(buffer, [&](auto& inside) {
    const auto y = alloc<std::int64_t>(inside, x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] + 1;
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += y[i];
    return sum;
  });
}

std::byte* bytes(auto& buffer, std::size_t count) { return static_cast<std::byte*>(buffer.allocate(count)); }

std::ptrdiff_t distance(const auto& a, const auto& b) {
  return reinterpret_cast<const std::byte*>(b.data_handle()) - reinterpret_cast<const std::byte*>(a.data_handle());
}

/// The slabs of the original: one size, and what is as large gets memory of its own.
constexpr buffers::slab_options slabs_of_16_kib{.first_slab = 16384, .growth = 1, .largest_slab = 16384};

/// Nested scopes of one buffer, and a second buffer in them (B7, R2).
template <class R>
void nested(R& buffer, R& second) {
  scope outer{buffer};
  const auto y = alloc<std::int64_t>(buffer, 3);
  const std::size_t offset = buffer.used();
  {
    scope inner{buffer};
    const auto z = alloc<std::int64_t>(buffer, 3);
    BOOST_TEST(z.data_handle() != y.data_handle());
    BOOST_TEST(distance(y, z) == 32);  // 24 in the original
    BOOST_TEST(buffer.used() == offset + 32);
    scope of_second{second};
    const auto w = alloc<std::int64_t>(second, 3);
    BOOST_TEST(second.used() == 24u);  // it is the second buffer's first block
    BOOST_TEST(second.owns(w.data_handle()));
    BOOST_TEST(!buffer.owns(w.data_handle()));
  }
  BOOST_TEST(second.used() == 0u);
  BOOST_TEST(buffer.used() == offset);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bumper_jl)

BOOST_AUTO_TEST_CASE(B1_with_the_default_buffer) {
  slab_resource& buffer = default_buffer();
  BOOST_TEST(sum_of_successors(v, buffer) == 9);
  BOOST_TEST(buffer.used() == 0u);
  const void* const first = buffer.allocate(8);
  buffer.reset();
  BOOST_TEST(buffer.allocate(8) == first);
  buffer.reset();
}

BOOST_AUTO_TEST_CASE(B2_with_a_fixed_buffer_of_100_bytes) {
  bump_resource buffer{100};
  BOOST_TEST(sum_of_successors(v, buffer) == 9);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(sum_of_successors(v, static_cast<bump_resource&>(buffer)) == 9);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(B3_nothing_comes_from_the_heap_after_the_first_time) {
  buffers::test_resource upstream;
  slab_resource growing{{}, &upstream};
  bump_resource fixed{100, &upstream};
  BOOST_TEST(sum_of_successors(v, growing) == 9);
  const std::size_t calls = upstream.allocations();
  for (int i = 0; i < 100; ++i) {
    BOOST_TEST(sum_of_successors(v, growing) == 9);
    BOOST_TEST(sum_of_successors(v, fixed) == 9);
  }
  BOOST_TEST(upstream.allocations() == calls);
}

BOOST_AUTO_TEST_CASE(B4_slabs_and_a_block_of_its_own) {
  buffers::test_resource upstream;
  slab_resource buffer{slabs_of_16_kib, &upstream};
  {
    scope outer{buffer};
    const std::byte* const first = bytes(buffer, 8191);
    BOOST_TEST(bytes(buffer, 8191) == first + 8192);  // + 8191 in the original
    BOOST_TEST(buffer.used() == 16383u);              // 16382
    for (int i = 0; i < 5; ++i) {
      scope inner{buffer};
      BOOST_TEST(buffer.used() == 16383u);
      const auto* const block = reinterpret_cast<std::byte*>(alloc<std::int64_t>(buffer, 10).data_handle());
      BOOST_TEST((block < first || block >= first + 16384));
    }
    BOOST_TEST(upstream.allocations() == 2u);
    const auto* const large = reinterpret_cast<std::byte*>(alloc<std::int64_t>(buffer, 100'000).data_handle());
    BOOST_TEST((large < first || large >= first + 16384));
    BOOST_TEST(buffer.used() == 16383u + 800'000);
    BOOST_TEST(bytes(buffer, 1) != first + 16383);
  }
  BOOST_TEST(buffer.used() == 0u);
  // The original has freed all but the first slab; here they are kept for the next time, until trim().
  BOOST_TEST(upstream.deallocations() == 0u);
  (void)buffer.trim(0);
  BOOST_TEST(upstream.live_blocks() == 0u);
}

BOOST_AUTO_TEST_CASE(B5_raw_bytes) {
  slab_resource buffer{slabs_of_16_kib};
  const std::byte* const first = bytes(buffer, 1);
  buffer.reset();
  scope inner{buffer};
  BOOST_TEST(buffers::alloc_bytes(buffer, 10).data() == first);
  BOOST_TEST(buffer.used() == 10u);
  const std::span<std::byte> large = buffers::alloc_bytes(buffer, 100'000);
  BOOST_TEST((large.data() < first || large.data() >= first + 16384));
  BOOST_TEST(bytes(buffer, 1) == first + 16);  // the current slab stays in use
}

BOOST_AUTO_TEST_CASE(B6_an_exception_ends_the_scope) {
  slab_resource buffer{slabs_of_16_kib};
  try {
    scope inner{buffer};
    (void)bytes(buffer, 16383);
    (void)bytes(buffer, 100'000);
    (void)bytes(buffer, 10);
    BOOST_TEST(buffer.used() == 116'393u);
    throw std::runtime_error("inside");
  } catch (const std::runtime_error&) {
    BOOST_TEST(buffer.used() == 0u);  // the original is not unwound: one own block and two slabs are still in use
  }
  buffer.reset();
  BOOST_TEST(buffer.used() == 0u);
  const std::byte* const first = bytes(buffer, 16384);
  buffer.reset();
  BOOST_TEST(bytes(buffer, 1) == first);
}

BOOST_AUTO_TEST_CASE(B7_nested_scopes_of_two_fixed_buffers) {
  bump_resource buffer{100}, second{100};
  nested(buffer, second);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(B8_too_large_an_array) {
  bump_resource buffer{100};
  BOOST_CHECK_THROW((void)alloc<std::int64_t>(buffer, 100'000), buffers::exhausted);
  BOOST_TEST(buffer.used() == 0u);  // the original's offset stays past the end
  BOOST_TEST(sum_of_successors(v, buffer) == 9);
  buffer.reset();
  default_buffer().reset();
}

BOOST_AUTO_TEST_CASE(B9_an_array_does_not_leave_its_scope) {
  // The original throws; here it does not compile.
  const auto escaping = [](slab_resource& buffer) { return alloc<int>(buffer, 3); };
  static_assert(![]<class F>(const F&) { return requires(slab_resource& b, F f) { no_escape(b, f); }; }(escaping));
}

BOOST_AUTO_TEST_CASE(B10_a_task_does_not_allocate_from_its_parents_scope) {
  // The original throws; here a task gets the buffer of its own thread, by the same words.
  no_escape([](slab_resource& buffer) {
    (void)buffer.allocate(16);
    bool another = false;
    std::thread([&] {
      no_escape([&](slab_resource& own) {
        another = &own != &buffer;
        (void)own.allocate(1000);
      });
    }).join();
    BOOST_TEST(another);
    BOOST_TEST(buffer.used() == 16u);
  });
  buffers::thread_resource<> buffer;
  no_escape(buffer, [](auto& scratch) {
    (void)scratch.allocate(16);
    slab_resource* const mine = &scratch.local();
    const std::thread::id here = std::this_thread::get_id();
    tbb::parallel_for(0, 20, [&](int) {
      scope inner{scratch};
      (void)scratch.allocate(1000);
      require((&scratch.local() == mine) == (std::this_thread::get_id() == here));
    });
    BOOST_TEST(mine->used() == 16u);
  });
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(B11_return_and_goto_in_a_scope) {
  // The original rejects them.
  slab_resource buffer;
  const auto returning = [&] {
    scope inner{buffer};
    (void)buffer.allocate(100);
    if (buffer.used() == 100) return 1;
    return 2;
  };
  BOOST_TEST(returning() == 1);
  BOOST_TEST(buffer.used() == 0u);
  int rounds = 0;
again: {
  scope inner{buffer};
  (void)buffer.allocate(100);
  BOOST_TEST(buffer.used() == 100u);
  if (++rounds < 3) goto again;
  if (rounds == 3) goto out;
}
out:
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(rounds == 3);
}

BOOST_AUTO_TEST_CASE(B12_another_default_buffer) {
  bump_resource* const before = &default_buffer<bump_resource>();
  std::array<std::byte, 100> memory;
  bump_resource other{std::span(memory)};
  with_default(other, [&] { BOOST_TEST(&default_buffer<bump_resource>() == &other); });
  BOOST_TEST(&default_buffer<bump_resource>() == before);
}

BOOST_AUTO_TEST_CASE(B13_a_default_buffer_over_an_array_of_integers) {
  // The original has no method for it; here it is a buffer of 800 bytes like any other.
  std::vector<std::int64_t> memory(100);
  bump_resource other{std::as_writable_bytes(std::span(memory))};
  BOOST_TEST(other.capacity() == 800u);
  with_default(other, [&](bump_resource& given) { BOOST_TEST(sum_of_successors(v, given) == 9); });
}

BOOST_AUTO_TEST_CASE(B14_each_thread_and_task_has_its_default_buffer) {
  slab_resource* const mine = &default_buffer();
  BOOST_TEST(&default_buffer() == mine);
  slab_resource* of_async = std::async(std::launch::async, [] { return &default_buffer(); }).get();
  BOOST_TEST(of_async != mine);
  slab_resource* of_thread = mine;
  std::thread([&] { of_thread = &default_buffer(); }).join();
  BOOST_TEST(of_thread != mine);
  const std::thread::id here = std::this_thread::get_id();
  tbb::parallel_for(0, 20, [=](int) { require((&default_buffer() == mine) == (std::this_thread::get_id() == here)); });
}

BOOST_AUTO_TEST_CASE(B15_defaults_of_two_types) {
  slab_resource other;
  slab_resource* const mine = &default_buffer();
  slab_resource* const inside = with_default(other, [] { return &default_buffer(); });
  BOOST_TEST(inside == &other);
  BOOST_TEST(&default_buffer() != inside);
  const std::thread::id here = std::this_thread::get_id();
  with_default(other, [&] {  // for the tasks that this thread runs, and for no other
    tbb::parallel_for(0, 20, [&](int) {
      require((&default_buffer() == &other) == (std::this_thread::get_id() == here));
      require(&default_buffer() != mine);
    });
  });
  bump_resource* const bump = &default_buffer<bump_resource>();
  BOOST_TEST(&default_buffer<bump_resource>() == bump);
  bump_resource another;
  with_default(another, [&] { BOOST_TEST(&default_buffer<bump_resource>() != bump); });
}

// --- the resizing buffer: here a slab_resource, which after a reset runs in one slab as large as the peak ---

BOOST_AUTO_TEST_CASE(R1_sums_without_the_heap) {
  buffers::test_resource upstream;
  slab_resource buffer{{.first_slab = 1000}, &upstream};
  for (int i = 0; i < 10; ++i) {
    BOOST_TEST(sum_of_successors(v, buffer) == 9);
    BOOST_TEST(buffer.used() == 0u);
  }
  BOOST_TEST(upstream.allocations() == 1u);
}

BOOST_AUTO_TEST_CASE(R2_nested_scopes) {
  slab_resource buffer{{.first_slab = 1000}}, second{{.first_slab = 1000}};
  nested(buffer, second);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(R3_the_peak_outlives_the_scope) {
  slab_resource buffer{{.first_slab = 1000}};
  {
    scope inner{buffer};
    (void)buffer.allocate(500);
    BOOST_TEST(buffer.used() == 500u);
    BOOST_TEST(buffer.peak() == 500u);
  }
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.peak() == 500u);
}

BOOST_AUTO_TEST_CASE(R4_more_than_the_first_slab) {
  buffers::test_resource upstream;
  slab_resource buffer{{.first_slab = 100}, &upstream};
  {
    scope inner{buffer};
    (void)buffer.allocate(50);
    BOOST_TEST(buffer.used() == 50u);
    BOOST_TEST(upstream.live_blocks() == 1u);
    (void)buffer.allocate(60);  // slabs are multiples of 64 bytes: it still fits, at 64, where the original overflows
    BOOST_TEST(buffer.used() == 124u);
    BOOST_TEST(upstream.live_blocks() == 1u);
    (void)buffer.allocate(60);
    BOOST_TEST(buffer.used() == 184u);
    BOOST_TEST(upstream.live_blocks() == 2u);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(R5_reset) {
  slab_resource buffer{{.first_slab = 100}};
  (void)buffer.allocate(50);
  BOOST_TEST(buffer.used() == 50u);
  BOOST_TEST(buffer.peak() == 50u);
  buffer.reset();
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.peak() == 50u);  // the original forgets it
  buffer.reset_peak();
  BOOST_TEST(buffer.peak() == 0u);
}

BOOST_AUTO_TEST_CASE(R6_blocks_one_after_the_other) {
  slab_resource buffer{{.first_slab = 100}};
  const std::byte* const first = bytes(buffer, 10);
  BOOST_TEST(buffer.used() == 10u);
  BOOST_TEST(bytes(buffer, 20) == first + 16);  // + 10 in the original
  BOOST_TEST(buffer.used() == 36u);             // 30
}

BOOST_AUTO_TEST_CASE(R7_a_first_block_larger_than_the_buffer) {
  buffers::test_resource upstream;
  slab_resource buffer{{.first_slab = 100}, &upstream};
  {
    scope inner{buffer};
    (void)buffer.allocate(150);
    BOOST_TEST(buffer.used() == 150u);
    BOOST_TEST(buffer.peak() == 150u);
    BOOST_TEST(buffer.capacity() == 160u);
    BOOST_TEST(upstream.live_blocks() == 1u);
  }
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(R8_a_second_block_larger_than_what_is_left) {
  buffers::test_resource upstream;
  slab_resource buffer{{.first_slab = 100}, &upstream};
  {
    scope inner{buffer};
    (void)buffer.allocate(50);
    (void)buffer.allocate(100);
    BOOST_TEST(buffer.used() == 150u);
    BOOST_TEST(buffer.peak() == 150u);
    BOOST_TEST(upstream.live_blocks() == 2u);
  }
  BOOST_TEST(buffer.used() == 0u);
  buffer.reset();
  (void)buffer.allocate(50);
  (void)buffer.allocate(100);
  BOOST_TEST(upstream.live_blocks() == 1u);
}

BOOST_AUTO_TEST_CASE(R9_nested_defaults) {
  slab_resource* const mine = &default_buffer();
  slab_resource of_200{{.first_slab = 200}}, of_300{{.first_slab = 300}};
  with_default(of_200, [&] {
    BOOST_TEST(&default_buffer() == &of_200);
    with_default(of_300, [&] { BOOST_TEST(&default_buffer() == &of_300); });
    BOOST_TEST(&default_buffer() == &of_200);
    bool another = false;
    std::thread([&] { another = &default_buffer() != &of_200 && &default_buffer() != mine; }).join();
    BOOST_TEST(another);
    const std::thread::id here = std::this_thread::get_id();
    tbb::parallel_for(0, 20,
                      [&](int) { require((&default_buffer() == &of_200) == (std::this_thread::get_id() == here)); });
  });
  BOOST_TEST(&default_buffer() == mine);
  BOOST_TEST(std::async(std::launch::async, [] { return &default_buffer(); }).get() != mine);
}

BOOST_AUTO_TEST_SUITE_END()
