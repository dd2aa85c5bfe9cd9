// What has gone wrong in other arenas, each once.
#include "support/child.hpp"

#include <algorithm>
#include <array>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <new>
#include <span>
import buffers;
import buffers.testing;

using buffers::bump_resource;
using buffers::scope;
using buffers::slab_resource;
using buffers::test_resource;

namespace {

std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

}  // namespace

BOOST_AUTO_TEST_SUITE(pitfalls)

BOOST_AUTO_TEST_CASE(a_failed_oversize_request_consumes_nothing) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024}, &upstream};
  const std::uintptr_t first = address(buffer.allocate(16));
  upstream.set_allocation_limit(0);
  for (int i = 0; i < 100; ++i) BOOST_CHECK_THROW((void)buffer.allocate(1 << 20), std::bad_alloc);
  BOOST_TEST(address(buffer.allocate(16)) == first + 16);
  BOOST_TEST(upstream.live_blocks() == 1u);
  BOOST_TEST(buffer.capacity() == 1024u);
}

BOOST_AUTO_TEST_CASE(a_failed_request_is_not_counted) {
  bump_resource fixed{128};
  slab_resource growing{{.first_slab = 128, .extendable = false}};
  (void)fixed.allocate(16);
  (void)growing.allocate(16);
  for (int i = 0; i < 100; ++i) {
    BOOST_CHECK_THROW((void)fixed.allocate(113), buffers::exhausted);
    BOOST_CHECK_THROW((void)growing.allocate(113), buffers::exhausted);
  }
  BOOST_TEST(fixed.used() == 16u);
  BOOST_TEST(fixed.peak() == 16u);
  BOOST_TEST(growing.used() == 16u);
  BOOST_TEST(growing.peak() == 16u);
  BOOST_TEST(fixed.allocate(112) != nullptr);
  BOOST_TEST(growing.allocate(112) != nullptr);
}

BOOST_AUTO_TEST_CASE(no_limit_check_wraps) {
  bump_resource fixed{128};
  slab_resource growing{{.first_slab = 128}};
  const std::uintptr_t first = address(fixed.allocate(16)), other = address(growing.allocate(16));
  for (std::size_t below = 0; below < 300; ++below)
    for (std::size_t alignment : {1uz, 16uz, 64uz, 4096uz, std::size_t{1} << 30, std::size_t{1} << 63}) {
      BOOST_CHECK_THROW((void)fixed.allocate(SIZE_MAX - below, alignment), std::bad_alloc);
      BOOST_CHECK_THROW((void)growing.allocate(SIZE_MAX - below, alignment), std::bad_alloc);
    }
  BOOST_TEST(address(fixed.allocate(16)) == first + 16);
  BOOST_TEST(address(growing.allocate(16)) == other + 16);
}

BOOST_AUTO_TEST_CASE(release_remembers_the_first_size) {
  test_resource upstream;
  slab_resource growing{{.first_slab = 4096, .growth = 2}, &upstream};
  bump_resource fixed{4000, &upstream};
  (void)growing.allocate(1);
  const std::size_t first = upstream.last_bytes();
  for (int i = 0; i < 3; ++i) {
    growing.release();
    (void)growing.allocate(1);
    BOOST_TEST(upstream.last_bytes() == first);
    fixed.release();
    (void)fixed.allocate(1);
    BOOST_TEST(upstream.last_bytes() == 4000u);
  }
}

BOOST_AUTO_TEST_CASE(alignment_is_kept_on_the_oversize_path) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .largest_slab = 1024}, &upstream};
  for (std::size_t alignment = 1; alignment <= std::size_t{1} << 21; alignment *= 2)
    for (std::size_t bytes : {1025uz, 4096uz, 100'001uz}) {
      scope inner{buffer};
      BOOST_TEST(address(buffer.allocate(bytes, alignment)) % alignment == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_scope_at_the_edge_of_a_slab_does_not_thrash) {
  test_resource upstream;
  slab_resource buffer{{.first_slab = 1024, .growth = 1, .largest_slab = 1024}, &upstream};
  (void)buffer.allocate(1024 - 2);
  {
    scope first{buffer};
    (void)buffer.allocate(10);
  }
  const std::size_t calls = upstream.allocations() + upstream.deallocations();
  for (int i = 0; i < 1000; ++i) {
    scope inner{buffer};
    (void)buffer.allocate(10);
  }
  BOOST_TEST(upstream.allocations() + upstream.deallocations() == calls);
  BOOST_TEST(buffer.used() == 1022u);
}

BOOST_AUTO_TEST_CASE(resources_that_lie_in_blocks_of_others) {
  test_resource upstream;
  {
    slab_resource outer{{}, &upstream};
    auto* const middle =
        ::new (outer.allocate(sizeof(slab_resource), alignof(slab_resource))) slab_resource({}, &outer);
    auto* const inner =
        ::new (middle->allocate(sizeof(bump_resource), alignof(bump_resource))) bump_resource(1000, middle);
    std::memset(inner->allocate(1000), 1, 1000);
    std::memset(middle->allocate(50'000), 2, 50'000);
    std::destroy_at(inner);
    std::destroy_at(middle);
  }
  BOOST_TEST(upstream.is_clean());
}

// What the resource writes when it gives memory upstream must not lie in that memory.
BOOST_AUTO_TEST_CASE(nothing_is_written_to_memory_that_was_given_back) {
  struct watching : std::pmr::memory_resource {
    std::byte* freed = nullptr;
    std::size_t bytes = 0;
    void* do_allocate(std::size_t n, std::size_t alignment) override {
      return ::operator new(n, std::align_val_t{alignment});
    }
    void do_deallocate(void* block, std::size_t n, std::size_t) override {
      std::memset(block, 0xee, n);
      freed = static_cast<std::byte*>(block);  // kept, to be looked at
      bytes = n;
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } upstream;
  const auto is_untouched = [&] {
    for (std::size_t i = 0; i < upstream.bytes; ++i)
      if (upstream.freed[i] != std::byte{0xee}) return false;
    ::operator delete(upstream.freed, std::align_val_t{64});
    return true;
  };
  slab_resource growing{{}, &upstream};
  (void)growing.allocate(100);
  growing.release();
  BOOST_TEST(is_untouched());
  (void)growing.allocate(1 << 20);
  growing.release();
  BOOST_TEST(is_untouched());
  bump_resource fixed{1000, &upstream};
  (void)fixed.allocate(100);
  fixed.release();
  BOOST_TEST(is_untouched());
}

BOOST_AUTO_TEST_CASE(storage_is_no_longer_poisoned_when_its_buffer_is_gone) {
  alignas(64) std::array<std::byte, 1000> storage;
  const auto write_all = [&] { std::ranges::fill(storage, std::byte{1}); };
  for (std::size_t skip : {0uz, 1uz, 15uz}) {
    {
      bump_resource buffer{std::span(storage).subspan(skip)};
      (void)buffer.allocate(100);
      (void)buffer.allocate(100);
    }
    write_all();
    {
      slab_resource buffer{{.initial_buffer = std::span(storage).subspan(skip)}};
      (void)buffer.allocate(100);
      (void)buffer.allocate(5000);
    }
    write_all();
  }
  BOOST_CHECK(storage[999] == std::byte{1});
}

// test_resource fills what it gets back: under AddressSanitizer that is a report for each poisoned byte left.
BOOST_AUTO_TEST_CASE(memory_goes_upstream_unpoisoned) {
  test_resource upstream;
  {
    bump_resource fixed{1001, &upstream};
    (void)fixed.allocate(100);
    fixed.release();
    (void)fixed.allocate(1);
    slab_resource growing{{.first_slab = 256}, &upstream};
    for (int i = 0; i < 10; ++i) (void)growing.allocate(100);
    void* const large = growing.allocate(100'000);
    growing.deallocate(large, 100'000);
    (void)growing.trim(0);
    growing.reset();
    (void)growing.allocate(1);
    (void)growing.allocate(1 << 20);
    growing.release();
    (void)growing.allocate(100);
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_SUITE_END()
