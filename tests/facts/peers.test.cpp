// What the test suites of three peers hold to be true of their resources, as far as it applies here: Boost.Container's
// (pmr), foonathan's memory and bumpalo's. Stated in our own words, and of our own classes.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <new>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::pool_resource;
using buffers::scope;
using buffers::slab_resource;
using buffers::test_resource;

namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

std::byte* bytes(std::pmr::memory_resource& from, std::size_t count, std::size_t alignment = 1) {
  return static_cast<std::byte*>(from.allocate(count, alignment));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(boost_container)

// --- monotonic_buffer_resource ---------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_new_buffer_has_asked_upstream_for_nothing) {
  test_resource upstream;
  const slab_resource growing{{}, &upstream};
  const slab_resource of_a_size{{.first_slab = 1024}, &upstream};
  BOOST_TEST(upstream.allocations() == 0u);
  BOOST_TEST(growing.upstream_resource() == &upstream);
}

BOOST_AUTO_TEST_CASE(upstream_is_asked_for_no_less_than_the_first_size) {
  for (std::size_t first : {64uz, 1024uz, 4096uz}) {
    test_resource upstream;
    slab_resource growing{{.first_slab = first}, &upstream};
    (void)growing.allocate(1, 1);
    BOOST_TEST(upstream.allocations() == 1u);
    BOOST_TEST(upstream.last_bytes() >= first);
  }
}

BOOST_AUTO_TEST_CASE(an_initial_buffer_is_used_up_before_upstream_is_asked) {
  test_resource upstream;
  alignas(16) std::byte storage[256];
  slab_resource growing{{.initial_buffer = storage}, &upstream};
  for (int i = 0; i < 16; ++i) {
    const std::byte* const block = bytes(growing, 16);
    BOOST_TEST((block >= storage && block < storage + 256));
  }
  BOOST_TEST(upstream.allocations() == 0u);
  (void)growing.allocate(1, 1);
  BOOST_TEST(upstream.allocations() == 1u);
}

BOOST_AUTO_TEST_CASE(buffers_grow_by_the_factor_until_their_maximum) {
  test_resource upstream;
  slab_resource growing{{.first_slab = 256, .growth = 2, .largest_slab = 2048}, &upstream};
  std::size_t before = 0;
  for (std::size_t payload : {256uz, 512uz, 1024uz, 2048uz, 2048uz}) {
    (void)growing.allocate(payload, 1);
    BOOST_TEST(growing.capacity() - before == payload);
    before = growing.capacity();
  }
}

BOOST_AUTO_TEST_CASE(release_gives_all_buffers_back_and_the_initial_one_can_be_used_again) {
  test_resource upstream;
  alignas(16) std::byte storage[256];
  slab_resource growing{{.initial_buffer = storage}, &upstream};
  const std::byte* const first = bytes(growing, 100);
  for (int i = 0; i < 100; ++i) (void)growing.allocate(1000, 1);
  BOOST_TEST(upstream.live_blocks() != 0u);
  growing.release();
  BOOST_TEST(upstream.is_clean());
  BOOST_TEST(bytes(growing, 100) == first);
}

BOOST_AUTO_TEST_CASE(the_destructor_gives_all_back_whatever_is_in_use) {
  test_resource upstream;
  {
    slab_resource growing{{.first_slab = 128}, &upstream};
    for (std::size_t size = 1; size < 10'000; size *= 3) (void)growing.allocate(size, 1);
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(freeing_a_block_asks_upstream_for_nothing) {
  test_resource upstream;
  slab_resource growing{{}, &upstream};
  void* const older = growing.allocate(100);
  void* const newest = growing.allocate(100);
  const std::size_t calls = upstream.allocations() + upstream.deallocations();
  growing.deallocate(older, 100);
  growing.deallocate(newest, 100);
  BOOST_TEST(upstream.allocations() + upstream.deallocations() == calls);
}

BOOST_AUTO_TEST_CASE(over_a_resource_without_memory_a_buffer_lasts_as_long_as_its_storage) {
  alignas(16) std::byte storage[64];
  slab_resource growing{{.initial_buffer = storage}, std::pmr::null_memory_resource()};
  BOOST_TEST(growing.allocate(64, 1) == storage);
  BOOST_CHECK_THROW((void)growing.allocate(1, 1), std::bad_alloc);
  BOOST_TEST(growing.used() == 64u);
}

// --- unsynchronized_pool_resource ------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_new_pool_has_asked_upstream_for_nothing) {
  test_resource upstream;
  const pool_resource pool{{}, &upstream};
  BOOST_TEST(upstream.allocations() == 0u);
  BOOST_TEST(pool.upstream_resource() == &upstream);
}

BOOST_AUTO_TEST_CASE(options_are_kept_or_refused_and_never_bent) {
  BOOST_CHECK_NO_THROW(pool_resource({.first_chunk = 64 * 1024, .largest_chunk = 64 * 1024}));
  BOOST_CHECK_THROW(pool_resource({.first_chunk = 0}), std::invalid_argument);
  BOOST_CHECK_THROW(pool_resource({.first_chunk = 128 * 1024, .largest_chunk = 64 * 1024}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(a_freed_block_serves_the_next_request_of_its_size) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  for (std::size_t size = 8; size <= 4096; size *= 2) {
    void* const block = pool.allocate(size);
    const std::size_t calls = upstream.allocations();
    pool.deallocate(block, size);
    BOOST_TEST(pool.allocate(size) == block);
    BOOST_TEST(upstream.allocations() == calls);
  }
}

BOOST_AUTO_TEST_CASE(blocks_beyond_the_largest_bucket_are_upstreams) {
  buffers::page_resource upstream;
  pool_resource pool{{}, &upstream};
  const std::size_t size = (std::size_t{128} << 20) + 1, before = upstream.used();
  void* const block = pool.allocate(size);
  BOOST_TEST(upstream.used() >= before + size);
  pool.deallocate(block, size);
  BOOST_TEST(upstream.used() == before);
}

BOOST_AUTO_TEST_CASE(release_of_a_pool_gives_all_chunks_and_large_blocks_back) {
  test_resource upstream;
  pool_resource pool{{}, &upstream};
  for (std::size_t size = 1; size < 2'000'000; size = size * 3 + 1) (void)pool.allocate(size);
  pool.release();
  BOOST_TEST(upstream.is_clean());
  BOOST_TEST(pool.allocate(64) != nullptr);  // and it goes on
}

// --- polymorphic_allocator, memory_resource, the global resources ----------------------------------------------------

BOOST_AUTO_TEST_CASE(resources_are_equal_to_themselves_only) {
  pool_resource one, other;
  BOOST_TEST((static_cast<std::pmr::memory_resource&>(one) == one));
  BOOST_TEST((static_cast<std::pmr::memory_resource&>(one) != other));
}

BOOST_AUTO_TEST_CASE(a_container_hands_its_resource_to_its_elements) {
  slab_resource buffer;
  std::pmr::vector<std::pmr::list<std::pmr::string>> words(&buffer);
  words.emplace_back().emplace_back("a word that is too long for the string object itself");
  BOOST_TEST(words[0].get_allocator().resource() == &buffer);
  BOOST_TEST(words[0].front().get_allocator().resource() == &buffer);
}

BOOST_AUTO_TEST_CASE(a_copy_of_a_container_goes_to_the_default_resource_and_a_move_stays) {
  slab_resource buffer;
  const std::pmr::vector<int> numbers({1, 2, 3}, &buffer);
  BOOST_TEST(std::pmr::vector<int>(numbers).get_allocator().resource() == std::pmr::get_default_resource());
  std::pmr::vector<int> source({1, 2, 3}, &buffer);
  const int* const data = source.data();
  const std::pmr::vector<int> moved = std::move(source);
  BOOST_TEST(moved.data() == data);
  BOOST_TEST(moved.get_allocator().resource() == &buffer);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(foonathan_memory)

// --- memory_stack ----------------------------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(unwinding_to_a_marker_gives_the_same_addresses_again) {
  slab_resource stack{{.first_slab = 256}};
  (void)stack.allocate(10, 1);
  const auto marker = stack.checkpoint();
  const void* const first = stack.allocate(10, 1);
  const void* const second = stack.allocate(200, 1);  // in another slab
  for (int i = 0; i < 3; ++i) {
    stack.restore(marker);
    BOOST_TEST(stack.allocate(10, 1) == first);
    BOOST_TEST(stack.allocate(200, 1) == second);
  }
}

BOOST_AUTO_TEST_CASE(unwinding_to_the_same_marker_twice_is_unwinding_once) {
  slab_resource stack;
  const auto marker = stack.checkpoint();
  (void)stack.allocate(100);
  stack.restore(marker);
  stack.restore(marker);
  BOOST_TEST(stack.used() == 0u);
}

BOOST_AUTO_TEST_CASE(unwinding_keeps_the_blocks_for_later_until_they_are_trimmed) {
  test_resource upstream;
  slab_resource stack{{.first_slab = 256, .growth = 1, .largest_slab = 256}, &upstream};
  (void)stack.allocate(200, 1);
  const auto marker = stack.checkpoint();
  for (int i = 0; i < 4; ++i) (void)stack.allocate(200, 1);
  BOOST_TEST(upstream.live_blocks() == 5u);
  stack.restore(marker);
  BOOST_TEST(upstream.live_blocks() == 5u);
  (void)stack.trim(0);
  BOOST_TEST(upstream.live_blocks() == 1u);
}

BOOST_AUTO_TEST_CASE(an_unwinder_unwinds_when_it_goes_and_not_before) {
  slab_resource stack;
  (void)stack.allocate(16);
  {
    scope unwinder{stack};
    (void)stack.allocate(16);
    {
      scope inner{stack};
      (void)stack.allocate(16);
      BOOST_TEST(stack.used() == 48u);
    }
    BOOST_TEST(stack.used() == 32u);
  }
  BOOST_TEST(stack.used() == 16u);
}

// --- memory_pool, memory_pool_collection -----------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(nodes_freed_in_order_backwards_and_at_random_are_all_there_again) {
  for (int order = 0; order < 3; ++order) {
    test_resource upstream;
    pool_resource pool{{}, &upstream};
    std::vector<void*> nodes(1000);
    std::set<void*> seen;
    for (int round = 0; round < 2; ++round) {
      for (void*& node : nodes) {
        node = pool.allocate(24, 8);
        seen.insert(node);
      }
      if (order == 1) std::ranges::reverse(nodes);
      if (order == 2)
        for (std::size_t i = 0; i < nodes.size(); ++i) std::swap(nodes[i], nodes[i * 617 % nodes.size()]);
      for (void* node : nodes) pool.deallocate(node, 24, 8);
    }
    BOOST_TEST(seen.size() == 1000u);
    BOOST_TEST(upstream.allocations() == 1u);
    BOOST_TEST(pool.used() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(nodes_and_arrays_of_many_sizes_share_a_pool) {
  pool_resource pool;
  struct array {
    std::byte* first;
    std::size_t size;
  };
  std::vector<array> arrays;
  for (std::size_t count = 1; count < 40; ++count)
    for (std::size_t node : {1uz, 4uz, 8uz, 12uz, 100uz}) {
      arrays.push_back({bytes(pool, count * node), count * node});
      std::memset(arrays.back().first, static_cast<int>(arrays.size() % 256), count * node);
    }
  bool intact = true;
  for (std::size_t i = 0; i < arrays.size(); ++i)
    for (std::size_t k = 0; k < arrays[i].size; ++k)
      intact = intact && arrays[i].first[k] == std::byte{static_cast<unsigned char>((i + 1) % 256)};
  BOOST_TEST(intact);
  for (const auto& [first, size] : arrays) pool.deallocate(first, size, 1);
  BOOST_TEST(pool.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_pool_says_whose_a_node_is) {
  pool_resource one, other;
  void* const node = one.allocate(16);
  BOOST_TEST(one.owns(node));
  BOOST_TEST(!other.owns(node));
}

// --- fallback_allocator, aligned_allocator, temporary_allocator, smart pointers --------------------------------------

BOOST_AUTO_TEST_CASE(a_fallback_is_used_only_when_the_first_is_full_and_gets_its_own_blocks_back) {
  test_resource second;
  bump_resource first{64};
  buffers::fallback_resource both{&first, &second};
  void* const small = both.allocate(48);
  BOOST_TEST(second.live_blocks() == 0u);
  void* const large = both.allocate(48);
  BOOST_TEST(second.live_blocks() != 0u);
  both.deallocate(large, 48);
  both.deallocate(small, 48);
  BOOST_TEST(first.used() == 0u);
  BOOST_TEST(second.mistakes() == 0u);
}

BOOST_AUTO_TEST_CASE(a_minimum_alignment_raises_lower_ones_and_no_others) {
  test_resource upstream;
  buffers::aligned_resource aligned{32, &upstream};
  for (std::size_t alignment : {1uz, 8uz, 32uz, 64uz, 256uz}) {
    void* const block = aligned.allocate(10, alignment);
    BOOST_TEST(upstream.last_alignment() == std::max(alignment, 32uz));
    BOOST_TEST(address(block) % std::max(alignment, 32uz) == 0u);
    aligned.deallocate(block, 10, alignment);
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(temporary_memory_of_each_thread_is_another) {
  const void* mine = nullptr;
  const void* its = nullptr;
  buffers::no_escape([&](auto& stack) { mine = stack.allocate(16); });
  buffers::no_escape([&](auto& stack) {
    scope inner{stack};
    BOOST_TEST(stack.allocate(16) == mine);  // used again
    std::thread([&] { buffers::no_escape([&](auto& other) { its = other.allocate(16); }); }).join();
  });
  BOOST_TEST(its != mine);
}

BOOST_AUTO_TEST_CASE(shared_pointers_allocate_object_and_counts_in_one_block) {
  test_resource upstream;
  {
    const std::shared_ptr<int> one = std::allocate_shared<int>(std::pmr::polymorphic_allocator<int>(&upstream), 7);
    const std::shared_ptr<int> another = one;
    BOOST_TEST(*another == 7);
    BOOST_TEST(upstream.allocations() == 1u);
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(bumpalo)

BOOST_AUTO_TEST_CASE(blocks_of_many_types_do_not_overlap_and_are_aligned) {
  struct alignas(64) wide {
    char byte;
  };
  slab_resource bump{{.first_slab = 128}};
  std::map<std::uintptr_t, std::uintptr_t> taken;
  const auto take = [&](std::size_t size, std::size_t alignment) {
    const std::uintptr_t first = address(bump.allocate(size, alignment));
    BOOST_REQUIRE(first % alignment == 0);
    const auto next = taken.lower_bound(first);
    BOOST_REQUIRE((next == taken.end() || first + size <= next->first));
    BOOST_REQUIRE((next == taken.begin() || std::prev(next)->second <= first));
    taken[first] = first + size;
  };
  for (int i = 0; i < 200; ++i) {
    take(1, 1);
    take(sizeof(double), alignof(double));
    take(sizeof(wide), alignof(wide));
    take(3, 2);
  }
}

BOOST_AUTO_TEST_CASE(a_reset_keeps_memory_and_the_next_round_asks_for_none) {
  test_resource upstream;
  slab_resource bump{{.first_slab = 64}, &upstream};
  for (int i = 0; i < 1000; ++i) (void)bump.allocate(8, 8);
  bump.reset();
  for (int i = 0; i < 1000; ++i) (void)bump.allocate(8, 8);
  const std::size_t calls = upstream.allocations();
  for (int round = 0; round < 5; ++round) {
    bump.reset();
    for (int i = 0; i < 1000; ++i) (void)bump.allocate(8, 8);
  }
  BOOST_TEST(upstream.allocations() == calls);
  BOOST_TEST(upstream.live_blocks() == 1u);
}

BOOST_AUTO_TEST_CASE(no_size_overflows) {
  slab_resource bump;
  (void)bump.allocate(1, 1);
  for (std::size_t size : {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, std::size_t{1} << 63})
    for (std::size_t alignment : {1uz, 16uz, 4096uz})
      BOOST_CHECK_THROW((void)bump.allocate(size, alignment), std::bad_alloc);
  BOOST_CHECK_THROW((void)buffers::alloc<std::uint64_t>(bump, std::numeric_limits<std::size_t>::max() / 4),
                    std::bad_array_new_length);
  BOOST_TEST(bump.used() == 1u);
}

BOOST_AUTO_TEST_CASE(no_bytes_take_no_room) {
  bump_resource bump{16};
  for (int i = 0; i < 100; ++i) BOOST_TEST(bump.allocate(0, 8) != nullptr);
  BOOST_TEST(bump.allocate(16, 1) != nullptr);
  BOOST_TEST(bump.allocate(0, 8) != nullptr);  // of a full buffer too
}

BOOST_AUTO_TEST_CASE(the_newest_block_grows_and_shrinks_in_place) {
  bump_resource bump{1024};
  std::byte* const block = bytes(bump, 100);
  std::memset(block, 7, 100);
  BOOST_TEST(bump.try_expand(block, 100, 1000));
  BOOST_TEST((block[0] == std::byte{7} && block[99] == std::byte{7}));
  BOOST_TEST(!bump.try_expand(block, 1000, 1025));
  BOOST_TEST(bump.shrink(block, 1000, 10));
  BOOST_TEST(bytes(bump, 1) == block + 16);
  BOOST_TEST(!bump.try_expand(block, 10, 11));  // it is not the newest any more
}

BOOST_AUTO_TEST_CASE(freeing_the_newest_block_gives_its_room_to_the_next) {
  bump_resource bump{64};
  for (int i = 0; i < 1000; ++i) bump.deallocate(bump.allocate(64), 64);
  BOOST_TEST(bump.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_limit_holds_and_lets_everything_below_through) {
  test_resource upstream;
  buffers::limit_resource limit{4096, &upstream};
  {
    slab_resource bump{{.first_slab = 512, .growth = 2, .largest_slab = 1024}, &limit};
    std::size_t got = 0;
    try {
      for (;; got += 100) (void)bump.allocate(100, 1);
    } catch (const buffers::exhausted&) {
    }
    BOOST_TEST(got > 2000u);
    BOOST_TEST(upstream.live_bytes() <= 4096u);
    BOOST_TEST(bump.used() >= got);
  }
  BOOST_TEST(limit.used() == 0u);
}

// When a large slab is not to be had, what is left may still do for the request.
BOOST_AUTO_TEST_CASE(a_budget_smaller_than_the_first_slab) {
  test_resource upstream;
  buffers::limit_resource limit{1000, &upstream};
  slab_resource bump{{.first_slab = 4096}, &limit};
  BOOST_CHECK_THROW((void)bump.allocate(1000), buffers::exhausted);
  BOOST_TEST(bump.capacity() == 0u);
  BOOST_TEST(upstream.is_clean());
  BOOST_TEST(bump.allocate(800) != nullptr);
  BOOST_TEST(upstream.live_bytes() <= 1000u);
}

BOOST_AUTO_TEST_CASE(an_initialiser_that_throws_leaves_nothing_behind) {
  slab_resource bump;
  (void)bump.allocate(16);
  struct throws_at_three {
    explicit throws_at_three(int i) {
      if (i == 3) throw std::runtime_error("three");
    }
  };
  BOOST_CHECK_THROW(buffers::no_escape(bump,
                                       [](auto& buffer) {
                                         std::pmr::vector<throws_at_three> all(&buffer);
                                         for (int i = 0; i < 5; ++i) all.emplace_back(i);
                                       }),
                    std::runtime_error);
  BOOST_TEST(bump.used() == 16u);
}

BOOST_AUTO_TEST_CASE(strings_and_vectors_grow_in_a_buffer_as_on_the_heap) {
  slab_resource bump;
  std::pmr::string text(&bump);
  std::string expected;
  std::pmr::vector<std::size_t> numbers(&bump);
  for (std::size_t i = 0; i < 2000; ++i) {
    text += static_cast<char>('a' + i % 26);
    expected += static_cast<char>('a' + i % 26);
    numbers.insert(numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2), i);
  }
  BOOST_TEST(text == expected.c_str());
  std::ranges::sort(numbers);
  for (std::size_t i = 0; i < 2000; ++i) BOOST_REQUIRE(numbers[i] == i);
}

BOOST_AUTO_TEST_SUITE_END()
