#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;

using buffers::retry_resource;
using buffers::test_resource;

namespace {

bool never() { return false; }

}  // namespace

BOOST_AUTO_TEST_SUITE(retry)

BOOST_AUTO_TEST_CASE(no_call_while_there_is_memory) {
  test_resource upstream;
  int calls = 0;
  retry_resource memory{[&] { return ++calls < 100; }, &upstream};
  BOOST_TEST(memory.upstream_resource() == &upstream);
  void* const block = memory.allocate(100, 256);
  BOOST_TEST(upstream.last_bytes() == 100u);
  BOOST_TEST(upstream.last_alignment() == 256u);
  memory.deallocate(block, 100, 256);
  BOOST_TEST(calls == 0);
  BOOST_TEST(upstream.first_mistake() == "");
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(a_callback_must_be_there) {
  BOOST_CHECK_THROW(retry_resource{std::function<bool()>()}, std::invalid_argument);
  BOOST_CHECK_THROW(retry_resource<bool (*)()>{nullptr}, std::invalid_argument);
  retry_resource works{std::function<bool()>(never)};
  works.deallocate(works.allocate(10), 10);
}

BOOST_AUTO_TEST_CASE(asks_until_it_works) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  int calls = 0;
  const auto callback = [&] {
    if (++calls == 3) upstream.set_allocation_limit(-1);
    return true;
  };
  retry_resource memory{callback, &upstream};
  memory.deallocate(memory.allocate(100), 100);
  BOOST_TEST(calls == 3);
  BOOST_TEST(upstream.refusals() == 3u);
  BOOST_TEST(upstream.is_clean());
}

BOOST_AUTO_TEST_CASE(or_until_the_callback_gives_up) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  int calls = 0;
  retry_resource memory{[&] { return ++calls < 5; }, &upstream};
  BOOST_CHECK_THROW((void)memory.allocate(100), std::bad_alloc);
  BOOST_TEST(calls == 5);
  BOOST_TEST(upstream.refusals() == 5u);
}

BOOST_AUTO_TEST_CASE(the_exception_is_upstreams) {
  buffers::limit_resource budget{100};
  retry_resource memory{never, &budget};
  try {
    (void)memory.allocate(101);
    BOOST_ERROR("101 bytes are more than 100");
  } catch (const buffers::exhausted& full) {
    BOOST_TEST(full.requested() == 101u);
  }
  BOOST_TEST(budget.used() == 0u);
}

BOOST_AUTO_TEST_CASE(a_callback_that_takes_the_size) {
  buffers::limit_resource budget{1000};
  std::pmr::vector<std::byte> cache(800, &budget);
  std::size_t asked = 0;
  retry_resource memory{[&](std::size_t bytes) {
                          asked = bytes;
                          return std::exchange(cache, std::pmr::vector<std::byte>(&budget)).size() != 0;
                        },
                        &budget};
  memory.deallocate(memory.allocate(700), 700);
  BOOST_TEST(asked == 700u);
  BOOST_CHECK_THROW((void)memory.allocate(1001), buffers::exhausted);
}

BOOST_AUTO_TEST_CASE(a_callback_that_throws) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  const auto callback = [] -> bool { throw std::runtime_error("by the callback"); };
  retry_resource memory{callback, &upstream};
  BOOST_CHECK_THROW((void)memory.allocate(100), std::runtime_error);
  upstream.set_allocation_limit(-1);
  memory.deallocate(memory.allocate(100), 100);
}

BOOST_AUTO_TEST_CASE(no_call_for_what_memory_cannot_mend) {
  struct refusing final : std::pmr::memory_resource {
    void* do_allocate(std::size_t, std::size_t) override { throw std::length_error("not today"); }
    void do_deallocate(void*, std::size_t, std::size_t) override {}
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  } upstream;
  int calls = 0;
  retry_resource memory{[&] { return ++calls < 100; }, &upstream};
  BOOST_CHECK_THROW((void)memory.allocate(100), std::length_error);
  BOOST_CHECK_THROW((void)memory.allocate(SIZE_MAX), std::bad_alloc);
  BOOST_CHECK_THROW((void)memory.allocate(100, 3), std::invalid_argument);
  BOOST_TEST(memory.allocate(0) != nullptr);
  BOOST_TEST(calls == 0);
}

BOOST_AUTO_TEST_CASE(any_kind_of_callback) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  retry_resource function{never, &upstream};
  retry_resource pointer{&never, &upstream};
  retry_resource movable{[held = std::make_unique<int>(0)] { return ++*held < 2; }, &upstream};
  struct stateful {
    bool operator()() { return ++calls < 4; }
    int calls = 0;
  };
  retry_resource<stateful> object{{}, &upstream};
  retry_resource on_the_heap{never};
  on_the_heap.deallocate(on_the_heap.allocate(10), 10);
  for (std::pmr::memory_resource* memory : {(std::pmr::memory_resource*)&function, (std::pmr::memory_resource*)&pointer,
                                            (std::pmr::memory_resource*)&movable, (std::pmr::memory_resource*)&object})
    BOOST_CHECK_THROW((void)memory->allocate(10), std::bad_alloc);
  BOOST_TEST(upstream.refusals() == 1u + 1 + 2 + 4);
}

BOOST_AUTO_TEST_CASE(a_cache_that_makes_room) {
  buffers::limit_resource budget{4096};
  std::pmr::vector<std::byte> cache(4000, &budget);
  const auto drop_cache = [&] { return std::exchange(cache, std::pmr::vector<std::byte>(&budget)).size() != 0; };
  retry_resource memory{drop_cache, &budget};
  std::pmr::vector<std::byte> needed(1000, &memory);
  BOOST_TEST(cache.empty());
  BOOST_TEST(budget.used() == 1000u);
  BOOST_CHECK_THROW((void)memory.allocate(4000), buffers::exhausted);
}

BOOST_AUTO_TEST_SUITE_END()
