#include <algorithm>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory_resource>
#include <new>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "support/child.hpp"
#include "support/require.hpp"
import buffers;
import buffers.testing;

using buffers::exhausted;
using buffers::limit_resource;
using buffers::test_resource;

namespace {

/// Takes its time, so that other threads come in between; fails for one size.
struct slow_upstream final : std::pmr::memory_resource {
  std::atomic<std::size_t> live = 0, most = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    std::this_thread::yield();
    if (bytes == 333) throw std::bad_alloc();
    void* const block = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    const std::size_t now = live += bytes;
    for (std::size_t before = most; before < now && !most.compare_exchange_weak(before, now);) {
    }
    return block;
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    std::this_thread::yield();
    live -= bytes;
    std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(limit)

BOOST_AUTO_TEST_CASE(holds_to_the_byte) {
  test_resource upstream;
  limit_resource budget{100, &upstream};
  BOOST_TEST(budget.upstream_resource() == &upstream);
  BOOST_TEST(budget.capacity() == 100u);
  BOOST_TEST(budget.available() == 100u);
  void* const a = budget.allocate(60);
  BOOST_TEST(budget.used() == 60u);
  BOOST_TEST(budget.available() == 40u);
  BOOST_CHECK_THROW((void)budget.allocate(41), exhausted);
  void* const b = budget.allocate(40, 1);
  BOOST_TEST(budget.available() == 0u);
  BOOST_CHECK_THROW((void)budget.allocate(1), exhausted);
  BOOST_TEST(upstream.allocations() == 2u);
  BOOST_TEST(upstream.refusals() == 0u);
  budget.deallocate(a, 60);
  BOOST_TEST(budget.used() == 40u);
  BOOST_TEST(budget.peak() == 100u);
  void* const c = budget.allocate(60, 64);
  BOOST_TEST(upstream.last_alignment() == 64u);
  BOOST_TEST(upstream.last_bytes() == 60u);
  budget.deallocate(b, 40, 1);
  budget.deallocate(c, 60, 64);
  BOOST_TEST(budget.used() == 0u);
  BOOST_TEST(upstream.first_mistake() == "");
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(says_what_is_left) {
  limit_resource budget{100};
  void* const a = budget.allocate(60);
  try {
    (void)budget.allocate(50);
    BOOST_ERROR("50 bytes are more than 40");
  } catch (const exhausted& full) {
    BOOST_TEST(full.requested() == 50u);
    BOOST_TEST(full.available() == 40u);
    BOOST_TEST(full.capacity() == 100u);
    BOOST_TEST(full.what() == std::string("buffers: exhausted: 50 bytes requested, 40 available, capacity 100"));
  }
  BOOST_TEST(budget.peak() == 60u);
  budget.deallocate(a, 60);
}

BOOST_AUTO_TEST_CASE(an_upstream_that_fails_takes_nothing_of_it) {
  test_resource upstream;
  limit_resource budget{100, &upstream};
  void* const a = budget.allocate(10);
  upstream.set_allocation_limit(0);
  for (int i = 0; i < 20; ++i) {
    BOOST_CHECK_THROW((void)budget.allocate(80), std::bad_alloc);
    BOOST_TEST(budget.used() == 10u);
    BOOST_TEST(budget.peak() == 10u);
    BOOST_TEST(budget.available() == 90u);
  }
  BOOST_TEST(upstream.refusals() == 20u);
  upstream.set_allocation_limit(-1);
  void* const b = budget.allocate(90);
  budget.deallocate(a, 10);
  budget.deallocate(b, 90);
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(sizes_that_would_wrap_around) {
  for (std::size_t capacity : {std::size_t{100}, std::size_t{PTRDIFF_MAX}, SIZE_MAX}) {
    test_resource upstream;
    limit_resource budget{capacity, &upstream};
    void* const a = budget.allocate(60);
    for (std::size_t bytes : {SIZE_MAX, SIZE_MAX - 59, SIZE_MAX - 60, SIZE_MAX - 61, std::size_t{PTRDIFF_MAX}}) {
      BOOST_CHECK_THROW((void)budget.allocate(bytes), std::bad_alloc);
      BOOST_TEST(budget.used() == 60u);
      BOOST_TEST(budget.available() == capacity - 60);
    }
    budget.deallocate(a, 60);
  }
}

BOOST_AUTO_TEST_CASE(a_budget_of_nothing) {
  limit_resource budget{0};
  BOOST_TEST(budget.allocate(0) != nullptr);
  BOOST_CHECK_THROW((void)budget.allocate(1), exhausted);
}

BOOST_AUTO_TEST_CASE(peak_begins_anew) {
  limit_resource budget{100};
  void* const a = budget.allocate(20);
  budget.deallocate(budget.allocate(70), 70);
  BOOST_TEST(budget.peak() == 90u);
  budget.reset_peak();
  BOOST_TEST(budget.peak() == 20u);
  budget.deallocate(a, 20);
  BOOST_TEST(budget.peak() == 20u);
  budget.reset_peak();
  BOOST_TEST(budget.peak() == 0u);
}

BOOST_AUTO_TEST_CASE(a_container_that_grows_without_end) {
  limit_resource budget{1 << 16};
  {
    std::pmr::string text{&budget};
    BOOST_CHECK_THROW(for (;;) text += "no more than 64 kibibytes of this", exhausted);
    BOOST_TEST(text.ends_with("of this"));
    BOOST_TEST(budget.used() == text.capacity() + 1);
  }
  BOOST_TEST(budget.used() == 0u);
}

BOOST_AUTO_TEST_CASE(of_several_threads_holds_at_every_moment) {
  slow_upstream upstream;
  limit_resource budget{1000, &upstream};
  std::atomic<std::size_t> refused = 0;
  const auto work = [&](std::size_t seed) {
    for (std::size_t i = 0; i < 5000; ++i) {
      const std::size_t bytes = i % 10 == 0 ? 333 : 1 + (i * 31 + seed * 17) % 400;
      try {
        void* const block = budget.allocate(bytes);
        require(budget.used() >= bytes && budget.used() <= 1000);
        budget.deallocate(block, bytes);
      } catch (const std::bad_alloc&) {
        ++refused;
      }
      require(budget.peak() <= 1000);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(budget.used() == 0u);
  BOOST_TEST(upstream.live == 0u);
  BOOST_TEST(upstream.most <= 1000u);
  BOOST_TEST(budget.peak() >= upstream.most);
  BOOST_TEST(refused >= 2000u);
}

BOOST_AUTO_TEST_CASE(a_request_that_is_too_large_does_not_deny_a_smaller_one) {
  limit_resource budget{1000};
  std::atomic<bool> done = false;
  std::thread greedy([&] {
    while (!done) try {
        (void)budget.allocate(1001);
        std::abort();
      } catch (const exhausted&) {
      }
  });
  std::size_t denied = 0;
  for (int i = 0; i < 200'000; ++i) try {
      budget.deallocate(budget.allocate(1000), 1000);
    } catch (const exhausted&) {
      ++denied;
    }
  done = true;
  greedy.join();
  BOOST_TEST(denied == 0u);
  BOOST_TEST(budget.peak() == 1000u);
}

BOOST_AUTO_TEST_CASE(reset_peak_misses_no_request_of_another_thread) {
  for (int i = 0; i < 2000; ++i) {
    limit_resource budget{1000};
    void* block = nullptr;
    std::thread other([&] { block = budget.allocate(700); });
    budget.reset_peak();
    other.join();
    BOOST_REQUIRE(budget.peak() == 700u);
    budget.deallocate(block, 700);
  }
}

BOOST_AUTO_TEST_CASE(hardened_build_finds_a_size_that_is_too_large,
                     *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
                       return boost::test_tools::assertion_result(hardened);
                     })) {
  const auto give_back = [](std::size_t bytes) {
    return run_in_child([bytes] {
      limit_resource budget{1000};
      budget.deallocate(budget.allocate(100), bytes);
    });
  };
  BOOST_TEST(give_back(100).survived());
  BOOST_TEST(give_back(101).aborted("deallocate: more bytes than this limit_resource has handed out"));
}

BOOST_AUTO_TEST_SUITE_END()
