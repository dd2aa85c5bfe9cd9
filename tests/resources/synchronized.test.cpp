#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory_resource>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "support/require.hpp"
import buffers;
import buffers.testing;
#include "support/one_at_a_time.hpp"

using buffers::synchronized_resource;
using buffers::test_resource;

BOOST_AUTO_TEST_SUITE(synchronized_)

BOOST_AUTO_TEST_CASE(passes_requests_on_as_they_are) {
  test_resource upstream;
  synchronized_resource shared{&upstream};
  BOOST_TEST(shared.upstream_resource() == &upstream);
  void* const block = shared.allocate(100, 256);
  BOOST_TEST(upstream.last_bytes() == 100u);
  BOOST_TEST(upstream.last_alignment() == 256u);
  shared.deallocate(block, 100, 256);
  BOOST_TEST(upstream.first_mistake() == "");
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(one_thread_at_a_time) {
  one_at_a_time upstream;
  upstream.refused = 333;
  synchronized_resource shared{&upstream};
  std::atomic<std::size_t> refused = 0;
  const auto work = [&](int seed) {
    for (std::size_t i = 0; i < 2000; ++i) try {
        const std::size_t bytes = i % 10 == 0 ? 333 : 1 + i % 100;
        void* const block = shared.allocate(bytes);
        std::memset(block, seed, bytes);
        shared.deallocate(block, bytes);
      } catch (const std::bad_alloc&) {
        ++refused;
      }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(upstream.together == 0u);
  BOOST_TEST(upstream.calls == 4u * (2 * 1800 + 200));
  BOOST_TEST(refused == 800u);
  BOOST_TEST(upstream.below.is_clean());
}

BOOST_AUTO_TEST_CASE(the_test_would_see_two_threads_in_it) {
  one_at_a_time upstream;
  {
    const one_at_a_time::visit first(upstream), second(upstream);
  }
  BOOST_TEST(upstream.together == 1u);
}

BOOST_AUTO_TEST_CASE(the_mutex_is_free_after_a_failure) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  synchronized_resource shared{&upstream};
  BOOST_CHECK_THROW((void)shared.allocate(100), std::bad_alloc);
  upstream.set_allocation_limit(-1);
  shared.deallocate(shared.allocate(100), 100);
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(a_slab_for_several_threads_and_blocks_freed_on_another) {
  test_resource upstream;
  {
    buffers::slab_resource scratch{{}, &upstream};
    synchronized_resource shared{&scratch};
    std::pmr::vector<std::pmr::vector<int>> made(&shared);
    for (int i = 0; i < 4; ++i) made.emplace_back();
    const auto work = [&](int which) {
      for (int i = 0; i < 5000; ++i) made[static_cast<std::size_t>(which)].push_back(which);
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(work, i);
    for (std::thread& thread : threads) thread.join();
    for (int i = 0; i < 4; ++i) {
      const auto& numbers = made[static_cast<std::size_t>(i)];
      BOOST_TEST(numbers.size() == 5000u);
      BOOST_TEST((numbers == std::pmr::vector<int>(5000, i)));
    }
  }
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_SUITE_END()
