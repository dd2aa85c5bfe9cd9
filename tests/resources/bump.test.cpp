#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::exhausted;
using buffers::order_error;
using buffers::scope;
using buffers::test_resource;

namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

}  // namespace

BOOST_AUTO_TEST_SUITE(bump)

BOOST_AUTO_TEST_CASE(takes_exactly_its_capacity) {
  for (std::size_t capacity = 1; capacity <= 70; ++capacity) {
    bump_resource buffer{capacity};
    BOOST_TEST(buffer.capacity() == capacity);
    BOOST_CHECK_THROW((void)buffer.allocate(capacity + 1), exhausted);
    void* const all = buffer.allocate(capacity);
    std::memset(all, 1, capacity);
    BOOST_TEST(buffer.used() == capacity);
    BOOST_CHECK_THROW((void)buffer.allocate(1), exhausted);
    BOOST_TEST(buffer.used() == capacity);
  }
}

BOOST_AUTO_TEST_CASE(default_capacity_is_128_kib) {
  test_resource upstream;
  BOOST_TEST(bump_resource{}.capacity() == 128u * 1024);
  bump_resource buffer{bump_resource::default_capacity, &upstream};
  BOOST_TEST(upstream.last_bytes() == 128u * 1024);
  BOOST_TEST(upstream.last_alignment() == 64u);
}

BOOST_AUTO_TEST_CASE(a_capacity_of_nothing) {
  test_resource upstream;
  bump_resource buffer{0, &upstream};
  BOOST_TEST(upstream.allocations() == 0u);
  BOOST_CHECK_THROW((void)buffer.allocate(1), exhausted);
  BOOST_TEST(buffer.allocate(0) != nullptr);
  buffer.reset();
  buffer.release();
  bump_resource nowhere{std::span<std::byte>{}};
  BOOST_CHECK_THROW((void)nowhere.allocate(1), exhausted);
}

BOOST_AUTO_TEST_CASE(upstream_that_fails_fails_the_constructor) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((bump_resource{100, &upstream}), std::bad_alloc);
  BOOST_CHECK_THROW((bump_resource{SIZE_MAX, &upstream}), std::bad_alloc);
  BOOST_TEST(upstream.live_blocks() == 0u);
}

BOOST_AUTO_TEST_CASE(over_characters) {
  alignas(16) char text[64];
  alignas(16) unsigned char bytes[64];
  bump_resource over_text{std::span{text}}, over_bytes{std::span<unsigned char>{bytes}};
  BOOST_TEST(over_text.allocate(64) == static_cast<void*>(text));
  BOOST_TEST(over_bytes.allocate(64) == static_cast<void*>(bytes));
}

BOOST_AUTO_TEST_CASE(what_is_left_is_behind_the_alignment) {
  alignas(1024) std::byte storage[4096];
  bump_resource buffer{std::span{storage}};
  (void)buffer.allocate(16);
  try {
    (void)buffer.allocate(3073, 1024);
    BOOST_ERROR("it begins at 1024");
  } catch (const exhausted& full) {
    BOOST_TEST(full.available() == 3072u);
  }
  BOOST_TEST(buffer.allocate(3072, 1024) == storage + 1024);
}

BOOST_AUTO_TEST_CASE(a_full_buffer_says_what_is_left) {
  bump_resource buffer{100};
  void* const first = buffer.allocate(40);
  try {
    (void)buffer.allocate(60);
    BOOST_ERROR("60 bytes do not fit behind 48");
  } catch (const exhausted& full) {
    BOOST_TEST(full.requested() == 60u);
    BOOST_TEST(full.available() == 52u);
    BOOST_TEST(full.capacity() == 100u);
    BOOST_TEST(full.what() == std::string("buffers: exhausted: 60 bytes requested, 52 available, capacity 100"));
  }
  BOOST_TEST(buffer.used() == 40u);
  BOOST_TEST(address(buffer.allocate(52)) == address(first) + 48);
  BOOST_TEST(buffer.used() == 100u);
}

BOOST_AUTO_TEST_CASE(blocks_start_at_multiples_of_16) {
  bump_resource buffer{1024};
  const std::uintptr_t first = address(buffer.allocate(1, 1));
  BOOST_TEST(first % 64 == 0u);
  BOOST_TEST(address(buffer.allocate(17, 1)) == first + 16);
  BOOST_TEST(address(buffer.allocate(16, 8)) == first + 48);
  BOOST_TEST(address(buffer.allocate(1, 1)) == first + 64);
  BOOST_TEST(buffer.used() == 65u);
}

BOOST_AUTO_TEST_CASE(newest_blocks_are_given_back) {
  bump_resource buffer{1024};
  void* const a = buffer.allocate(10);
  void* const b = buffer.allocate(32);
  void* const c = buffer.allocate(7);
  BOOST_TEST(buffer.used() == 16u + 32 + 7);
  buffer.deallocate(c, 7);
  BOOST_TEST(buffer.allocate(5) == c);
  buffer.deallocate(c, 5);
  buffer.deallocate(b, 32);
  buffer.deallocate(a, 10);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.peak() == 16u + 32 + 7);
}

BOOST_AUTO_TEST_CASE(older_blocks_stay_until_the_end_comes_back) {
  bump_resource buffer{1024};
  void* const a = buffer.allocate(16);
  void* const b = buffer.allocate(16);
  buffer.deallocate(a, 16);
  BOOST_TEST(buffer.used() == 32u);
  buffer.deallocate(b, 16);
  BOOST_TEST(buffer.used() == 16u);
  BOOST_TEST(buffer.allocate(16) == b);
}

BOOST_AUTO_TEST_CASE(a_restored_checkpoint_has_its_blocks_again) {
  bump_resource buffer{1024};
  void* const a = buffer.allocate(16);
  const auto cp = buffer.checkpoint();
  buffer.deallocate(a, 16);
  BOOST_TEST(buffer.used() == 0u);
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 16u);
  BOOST_TEST(buffer.allocate(16) == static_cast<std::byte*>(a) + 16);
}

BOOST_AUTO_TEST_CASE(over_aligned_blocks_in_lifo_order_give_all_back) {
  bump_resource buffer{1 << 16};
  void* const a = buffer.allocate(8);
  void* const b = buffer.allocate(8, 64);
  void* const c = buffer.allocate(8);
  void* const d = buffer.allocate(8, 4096);
  buffer.deallocate(d, 8, 4096);
  buffer.deallocate(c, 8);
  buffer.deallocate(b, 8, 64);
  buffer.deallocate(a, 8);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(expanding_the_newest_block) {
  bump_resource buffer{100};
  void* const a = buffer.allocate(16);
  auto* const b = static_cast<char*>(buffer.allocate(16));
  std::memset(b, 7, 16);
  BOOST_TEST(!buffer.try_expand(a, 16, 20));
  BOOST_TEST(!buffer.try_expand(b, 16, 85));
  BOOST_TEST(!buffer.try_expand(b, 16, SIZE_MAX));
  BOOST_TEST(!buffer.try_expand(b, 16, 8));
  BOOST_TEST(buffer.used() == 32u);
  BOOST_TEST(buffer.try_expand(b, 16, 84));
  std::memset(b + 16, 8, 68);
  BOOST_TEST(b[15] == 7);
  BOOST_TEST(buffer.used() == 100u);
  BOOST_TEST(buffer.peak() == 100u);
  buffer.deallocate(b, 84);
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE(shrinking_the_newest_block) {
  bump_resource buffer{100};
  void* const a = buffer.allocate(16);
  void* const b = buffer.allocate(64);
  BOOST_TEST(!buffer.shrink(a, 16, 8));
  BOOST_TEST(!buffer.shrink(b, 64, 65));
  BOOST_TEST(!buffer.shrink(b, 64, 0));
  BOOST_TEST(buffer.shrink(b, 64, 20));
  BOOST_TEST(buffer.used() == 36u);
  BOOST_TEST(buffer.peak() == 80u);
  buffer.deallocate(b, 20);
  BOOST_TEST(buffer.used() == 16u);
}

BOOST_AUTO_TEST_CASE(a_block_from_outside_a_scope_does_not_grow_in_it) {
  bump_resource buffer{100};
  void* const a = buffer.allocate(16);
  {
    scope inner{buffer};
    BOOST_TEST(!buffer.try_expand(a, 16, 20));
    BOOST_TEST(buffer.used() == 16u);
  }
  BOOST_TEST(buffer.try_expand(a, 16, 20));
  BOOST_TEST(buffer.used() == 20u);
}

BOOST_AUTO_TEST_CASE(restoring_a_checkpoint) {
  bump_resource buffer{1024};
  (void)buffer.allocate(100);
  const auto cp = buffer.checkpoint();
  void* const first = buffer.allocate(100);
  (void)buffer.allocate(200);
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 100u);
  BOOST_TEST(buffer.allocate(100) == first);
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 100u);
  BOOST_TEST(buffer.peak() == 112u + 112 + 200);
}

BOOST_AUTO_TEST_CASE(reset_keeps_the_memory) {
  test_resource upstream;
  bump_resource buffer{100, &upstream};
  void* const first = buffer.allocate(100);
  buffer.reset();
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.peak() == 100u);
  BOOST_TEST(buffer.allocate(100) == first);
  BOOST_TEST(upstream.allocations() == 1u);
  BOOST_TEST(upstream.deallocations() == 0u);
}

BOOST_AUTO_TEST_CASE(release_gives_the_memory_upstream_until_it_is_needed) {
  test_resource upstream;
  bump_resource buffer{1000, &upstream};
  (void)buffer.allocate(1000);
  buffer.release();
  BOOST_TEST(upstream.live_blocks() == 0u);
  BOOST_TEST(buffer.used() == 0u);
  BOOST_TEST(buffer.capacity() == 1000u);
  BOOST_CHECK_THROW((void)buffer.allocate(1001), exhausted);
  BOOST_TEST(upstream.live_blocks() == 0u);
  (void)buffer.allocate(1000);
  BOOST_TEST(upstream.live_blocks() == 1u);
  buffer.release();
  upstream.set_allocation_limit(0);
  BOOST_CHECK_THROW((void)buffer.allocate(1), std::bad_alloc);
  BOOST_TEST(buffer.used() == 0u);
  upstream.set_allocation_limit(1);
  BOOST_TEST(buffer.allocate(1) != nullptr);
  BOOST_TEST(upstream.mistakes() == 0u);
}

BOOST_AUTO_TEST_CASE(a_released_buffer_takes_no_memory_for_a_request_that_does_not_fit_in_it) {
  test_resource upstream;
  bump_resource buffer{4096, &upstream};
  buffer.release();
  try {
    (void)buffer.allocate(4096, 8192);  // test_resource's blocks are aligned to 64, as they are asked for, and no more
    BOOST_ERROR("it fits");
  } catch (const exhausted& e) {
    BOOST_TEST(e.requested() == 4096u);
    BOOST_TEST(e.available() < 4096u);
  }
  BOOST_TEST(upstream.live_bytes() == 0u);
  BOOST_TEST(buffer.used() == 0u);
  {
    scope inner{buffer};
    BOOST_CHECK_THROW((void)buffer.allocate(4096, 8192), exhausted);
  }
  BOOST_TEST(upstream.live_bytes() == 0u);
  BOOST_TEST(buffer.allocate(4096, 64) != nullptr);
}

BOOST_AUTO_TEST_CASE(a_released_buffer_can_be_released_and_destroyed) {
  test_resource upstream;
  {
    bump_resource buffer{1000, &upstream};
    buffer.release();
    buffer.release();
    buffer.reset();
  }
  BOOST_TEST(upstream.is_clean());
  BOOST_TEST(upstream.deallocations() == 1u);
}

BOOST_AUTO_TEST_CASE(releasing_storage_that_is_not_owned_resets_it) {
  alignas(64) std::array<std::byte, 256> storage;
  bump_resource buffer{std::span{storage}};
  BOOST_TEST(buffer.upstream_resource() == nullptr);
  void* const first = buffer.allocate(256);
  BOOST_TEST(first == storage.data());
  buffer.release();
  BOOST_TEST(buffer.trim(0) == 0u);
  BOOST_TEST(buffer.allocate(256) == first);
}

BOOST_AUTO_TEST_CASE(trim_gives_what_is_above_keep_bytes) {
  test_resource upstream;
  bump_resource buffer{1000, &upstream};
  void* const block = buffer.allocate(1);
  BOOST_TEST(buffer.trim(0) == 0u);
  buffer.deallocate(block, 1);
  BOOST_TEST(buffer.trim(1000) == 0u);
  BOOST_TEST(upstream.live_blocks() == 1u);
  BOOST_TEST(buffer.trim(999) == 1000u);
  BOOST_TEST(upstream.live_blocks() == 0u);
  BOOST_TEST(buffer.peak() == 1u);
  BOOST_TEST(buffer.trim(0) == 0u);
  BOOST_TEST(buffer.allocate(1000) != nullptr);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_of_the_empty_buffer_outlives_a_trim) {
  test_resource upstream;
  bump_resource buffer{1000, &upstream};
  const auto empty = buffer.checkpoint();
  for (int i = 0; i < 8; ++i) {
    BOOST_TEST(buffer.trim(0) == 1000u);
    buffer.restore(empty);
    BOOST_TEST(buffer.used() == 0u);
    (void)upstream.allocate(1008, 64);  // takes the place, so that the buffer's memory is from elsewhere next time
    const void* const first = buffer.allocate(100);
    buffer.restore(empty);
    BOOST_TEST(buffer.used() == 0u);
    BOOST_TEST(buffer.allocate(50) == first);
    BOOST_TEST(buffer.used() == 50u);
    buffer.restore(empty);
  }
}

BOOST_AUTO_TEST_CASE(a_scope_that_begins_after_a_release) {
  test_resource upstream;
  bump_resource buffer{1000, &upstream};
  buffer.release();
  const void* first = nullptr;
  {
    buffers::scope outer{buffer};
    {
      buffers::scope inner{buffer};
      first = buffer.allocate(100);
      BOOST_TEST(buffer.used() == 100u);
    }
    BOOST_TEST(buffer.used() == 0u);
    BOOST_TEST(buffer.allocate(200) == first);
  }
  BOOST_TEST(buffer.used() == 0u);
  void* const block = buffer.allocate(1000);
  BOOST_TEST(block == first);
  buffer.deallocate(block, 1000);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(peak_and_reset_peak) {
  bump_resource buffer{1024};
  void* const a = buffer.allocate(100);
  void* const b = buffer.allocate(500);
  buffer.deallocate(b, 500);
  BOOST_TEST(buffer.peak() == 612u);
  buffer.reset_peak();
  BOOST_TEST(buffer.peak() == buffer.used());
  buffer.deallocate(a, 100);
  BOOST_TEST(buffer.peak() == 112u);
  buffer.reset();
  BOOST_TEST(buffer.peak() == 112u);
  buffer.reset_peak();
  BOOST_TEST(buffer.peak() == 0u);
  (void)buffer.allocate(10);
  BOOST_TEST(buffer.peak() == 10u);
}

BOOST_AUTO_TEST_CASE(a_buffer_of_the_peak_is_enough_and_one_byte_less_is_not) {
  const auto program = [](bump_resource& buffer) {
    (void)buffer.allocate(13);
    (void)buffer.allocate(100, 64);
    const auto cp = buffer.checkpoint();
    (void)buffer.allocate(77);
    buffer.restore(cp);
    (void)buffer.allocate(5);
  };
  bump_resource measured{4096};
  program(measured);
  bump_resource enough{measured.peak()};
  BOOST_CHECK_NO_THROW(program(enough));
  bump_resource too_small{measured.peak() - 1};
  BOOST_CHECK_THROW(program(too_small), exhausted);
}

BOOST_AUTO_TEST_CASE(owns_its_memory) {
  alignas(64) std::array<std::byte, 256> storage;
  bump_resource buffer{std::span{storage}.subspan(64, 128)};
  BOOST_TEST(!buffer.owns(&storage[63]));
  BOOST_TEST(buffer.owns(&storage[64]));
  BOOST_TEST(buffer.owns(&storage[191]));
  BOOST_TEST(!buffer.owns(&storage[192]));
  BOOST_TEST(!buffer.owns(nullptr));
}

BOOST_AUTO_TEST_CASE(storage_that_is_not_aligned_loses_at_most_15_bytes) {
  alignas(64) std::array<std::byte, 96> storage;
  for (std::size_t skip = 0; skip < 16; ++skip) {
    bump_resource buffer{std::span{storage}.subspan(skip)};
    const std::size_t usable = storage.size() - (skip == 0 ? 0 : 16);
    BOOST_CHECK_THROW((void)buffer.allocate(usable + 1, 1), exhausted);
    BOOST_TEST(address(buffer.allocate(usable, 1)) == address(&storage[skip == 0 ? 0 : 16]));
  }
}

BOOST_AUTO_TEST_CASE(storage_too_small_for_a_block) {
  alignas(64) std::array<std::byte, 32> storage;
  bump_resource buffer{std::span{storage}.subspan(1, 14)};
  BOOST_CHECK_THROW((void)buffer.allocate(1, 1), exhausted);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(storage_with_a_last_granule_that_is_cut_short) {
  alignas(64) std::array<std::byte, 100> storage;
  for (std::size_t size = 17; size <= 100; ++size) {
    bump_resource buffer{std::span{storage}.first(size)};
    const std::size_t whole = (size - 1) & ~std::size_t{15};
    auto* const front = static_cast<std::byte*>(buffer.allocate(whole));
    auto* const back = static_cast<std::byte*>(buffer.allocate(size - whole));
    const std::span<std::byte> blocks[] = {{front, whole}, {back, size - whole}};
    buffer.drop(std::span(blocks).first(1));
    BOOST_TEST(buffer.used() == size);
    buffer.drop(std::span(blocks).last(1));
    BOOST_TEST(buffer.used() == 0u);
    (void)buffer.allocate(whole);
    (void)buffer.allocate(size - whole);
    buffer.drop(std::span(blocks).last(1));
    BOOST_CHECK_THROW(buffer.drop(std::span(blocks).last(1)), std::invalid_argument);
    buffer.drop(std::span(blocks).first(1));
    BOOST_TEST(buffer.used() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(storage_on_the_stack_after_an_exception) {
  alignas(64) std::array<std::byte, 100'000> storage;  // too large for the heap that AddressSanitizer takes for stacks
  for (const std::size_t capacity : {std::size_t{256}, std::size_t{48}, storage.size()}) {
    bump_resource buffer{std::span{storage}.first(capacity)};
    BOOST_CHECK_THROW((void)buffer.allocate(storage.size() + 1), buffers::exhausted);
    void* const first = buffer.allocate(10);
    void* const second = buffer.allocate(20);
    buffer.deallocate(second, 20);
    buffer.deallocate(first, 10);
    BOOST_TEST(buffer.used() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(dropping_in_any_order) {
  bump_resource buffer{1024};
  std::array<std::span<std::byte>, 4> blocks;
  for (std::size_t i = 0; i < 4; ++i)
    blocks[i] = {static_cast<std::byte*>(buffer.allocate(16 * (i + 1))), 16 * (i + 1)};
  buffer.drop(std::span(blocks).subspan(1, 1));
  BOOST_TEST(buffer.used() == 160u);
  buffer.drop(std::span(blocks).subspan(3, 1));
  BOOST_TEST(buffer.used() == 96u);
  buffer.drop(std::span(blocks).subspan(2, 1));
  BOOST_TEST(buffer.used() == 16u);
  BOOST_TEST(static_cast<void*>(blocks[1].data()) == buffer.allocate(8));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_that_is_gone_does_not_hold_the_newest_block) {
  bump_resource buffer{1024};
  {
    scope inner{buffer};
    (void)buffer.reshape(100);
    (void)buffer.checkpoint();
  }
  void* const newest = buffer.allocate(10);
  BOOST_TEST(buffer.try_expand(newest, 10, 20));
  const auto cp = buffer.checkpoint();
  {
    scope inner{buffer};
    (void)buffer.checkpoint();
  }
  BOOST_TEST(!buffer.try_expand(newest, 20, 30));
  buffer.restore(cp);
  BOOST_TEST(buffer.used() == 20u);
}

BOOST_AUTO_TEST_CASE(identity) {
  bump_resource a{100}, b{100};
  BOOST_TEST(a.is_equal(a));
  BOOST_TEST(!a.is_equal(b));
  BOOST_TEST(a.upstream_resource() == std::pmr::new_delete_resource());
}

// Its memory comes in the scope, whose end is at its beginning.
BOOST_AUTO_TEST_CASE(a_scope_that_opens_without_memory) {
  for (const bool trims : {false, true}) {
    bump_resource buffer{1000};
    if (trims)
      (void)buffer.trim(0);
    else
      buffer.release();
    {
      buffers::scope outer{buffer};
      buffers::scope inner{buffer};
      for (int i = 0; i < 100; ++i) {
        const auto view = buffers::alloc<char>(buffer, 100);
        buffers::drop(buffer, view);
        BOOST_TEST(buffer.used() == 0u);
      }
      void* const block = buffer.allocate(10);
      BOOST_TEST(buffer.try_expand(block, 10, 20));
      BOOST_TEST(buffer.used() == 20u);
    }
    BOOST_TEST(buffer.used() == 0u);
    BOOST_TEST(buffer.capacity() == 1000u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
