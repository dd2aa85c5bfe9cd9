// A process that really has no more memory: in a child, with a limit on its address space.
#include "support/child.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory_resource>
#include <new>
#include <utility>
#include <vector>
import buffers;

namespace {

constexpr std::size_t mib = 1024 * 1024;

/// The sanitizers' own memory is not to be limited.
const auto only_plain = [](boost::unit_test::test_unit_id) {
  return boost::test_tools::assertion_result(!sanitized && children_may_start_threads);
};

/// From now on, this process gets no more than so many bytes of address space.
void leave(std::size_t bytes) {
  std::size_t pages = 0;
  if (!(std::ifstream("/proc/self/statm") >> pages)) std::abort();
  const rlimit limit{pages * 4096 + bytes, pages * 4096 + bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::abort();
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

/// Blocks of that size until there is no more memory, twice: the second time, as many.
template <class R>
void fill_and_empty(R& resource, std::size_t size, std::size_t least) {
  static std::byte* blocks[1 << 20];  // the vector of a test has no memory to grow either
  for (std::size_t round = 0, first_count = 0; round < 2; ++round) {
    std::size_t count = 0, used = 0;
    try {
      for (;; ++count) {
        used = resource.used();
        blocks[count] = static_cast<std::byte*>(resource.allocate(size));
        std::memset(blocks[count], static_cast<int>(count % 251), size);
      }
    } catch (const std::bad_alloc&) {
    }
    require(resource.used() == used, "the request that failed is counted");
    require(count * size >= least, "much less than there was");
    for (std::size_t i = 0; i < count; ++i)
      require(blocks[i][0] == std::byte(i % 251) && std::memcmp(blocks[i], blocks[i] + 1, size - 1) == 0, "contents");
    if constexpr (buffers::checkpointable<R>)
      resource.reset();
    else
      for (std::size_t i = count; i-- > 0;) resource.deallocate(blocks[i], size);
    require(resource.used() == 0, "not all was given back");
    if (round == 0)
      first_count = count;
    else
      require(count >= first_count - first_count / 16, "memory was lost");
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(out_of_memory, *boost::unit_test::precondition(only_plain))

BOOST_AUTO_TEST_CASE(the_limit_is_one) {
  const child ended = run_in_child([] {
    leave(64 * mib);
    try {
      ::operator delete(::operator new(100 * mib));
    } catch (const std::bad_alloc&) {
      _exit(0);
    }
    _exit(1);
  });
  BOOST_TEST(ended.survived(), ended);
}

using growing = boost::mpl::list<buffers::slab_resource, buffers::pool_resource, buffers::concurrent_pool_resource>;
BOOST_AUTO_TEST_CASE_TEMPLATE(what_grows, R, growing) {
  for (std::size_t size : {200uz, 1000uz, 5000uz, 100'000uz, 3 * mib}) {
    const child ended = run_in_child([=] {
      leave(128 * mib);
      R resource;
      fill_and_empty(resource, size, 64 * mib);
    });
    BOOST_TEST(ended.survived(), size << ": " << ended);
  }
}

BOOST_AUTO_TEST_CASE(pages) {
  const child ended = run_in_child([] {
    leave(128 * mib);
    buffers::page_resource resource{{.guard_pages = true}};
    fill_and_empty(resource, 3 * mib, 100 * mib);
  });
  BOOST_TEST(ended.survived(), ended);
}

BOOST_AUTO_TEST_CASE(a_fixed_buffer_that_is_too_large) {
  const child ended = run_in_child([] {
    leave(64 * mib);
    try {
      const buffers::bump_resource resource{100 * mib};
    } catch (const std::bad_alloc&) {
      const buffers::bump_resource smaller{32 * mib};
      _exit(0);
    }
    _exit(1);
  });
  BOOST_TEST(ended.survived(), ended);
}

// Of one size, then of another: what is free is joined, or given upstream, before a request fails.
BOOST_AUTO_TEST_CASE(a_pool_that_was_full_of_small_blocks_has_room_for_a_large_one) {
  const child ended = run_in_child([] {
    leave(128 * mib);
    buffers::pool_resource resource;
    fill_and_empty(resource, 200, 64 * mib);
    fill_and_empty(resource, 20'000, 48 * mib);
    fill_and_empty(resource, 3 * mib, 48 * mib);
  });
  BOOST_TEST(ended.survived(), ended);
}

// Fails over to a second resource, and asks for help.
BOOST_AUTO_TEST_CASE(a_cache_makes_room) {
  const child ended = run_in_child([] {
    leave(96 * mib);
    std::pmr::vector<void*> cache(std::pmr::new_delete_resource());
    cache.reserve(1000);
    for (int i = 0; i < 40; ++i) cache.push_back(::operator new(mib));
    buffers::retry_resource retry{[&] {
                                    if (cache.empty()) return false;
                                    ::operator delete(std::exchange(cache.back(), nullptr));
                                    cache.pop_back();
                                    return true;
                                  },
                                  std::pmr::new_delete_resource()};
    buffers::slab_resource resource{{}, &retry};
    try {
      for (;;) (void)resource.allocate(500'000);
    } catch (const std::bad_alloc&) {
    }
    require(cache.empty(), "the cache was not asked for all it had");
    require(resource.used() > 48 * mib, "little was got");
  });
  BOOST_TEST(ended.survived(), ended);
}

BOOST_AUTO_TEST_SUITE_END()
