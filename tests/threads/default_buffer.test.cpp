#include <pthread.h>
#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <atomic>
#include <barrier>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <type_traits>
#include <vector>
import buffers;

using buffers::bump_resource;
using buffers::default_buffer;
using buffers::no_escape;
using buffers::slab_resource;
using buffers::with_default;

BOOST_AUTO_TEST_SUITE(default_buffers)

BOOST_AUTO_TEST_CASE(the_same_object_in_one_thread) {
  BOOST_TEST(&default_buffer() == &default_buffer());
  BOOST_TEST(&default_buffer() == &default_buffer<slab_resource>());
  BOOST_TEST(&default_buffer<bump_resource>() == &default_buffer<bump_resource>());
}

BOOST_AUTO_TEST_CASE(another_object_in_each_thread) {
  constexpr int threads = 4;
  std::barrier all_alive(threads);
  std::mutex guard;
  std::set<slab_resource*> found{&default_buffer()};
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i)
    running.emplace_back([&] {
      slab_resource* const mine = &default_buffer();
      (void)mine->allocate(100);
      {
        const std::lock_guard lock(guard);
        found.insert(mine);
      }
      all_alive.arrive_and_wait();
    });
  for (std::thread& thread : running) thread.join();
  BOOST_TEST(found.size() == 1u + threads);
}

BOOST_AUTO_TEST_CASE(tasks_get_that_of_the_thread_they_run_on) {
  // As many threads for tasks, on a machine with one processor as well.
  const tbb::global_control limit{tbb::global_control::max_allowed_parallelism, 2};
  tbb::task_arena arena(2);
  std::mutex guard;
  std::map<std::thread::id, std::set<slab_resource*>> of_thread;
  std::atomic<int> arrived = 0;
  arena.execute([&] {
    tbb::parallel_for(
        0, 2,
        [&](int) {
          ++arrived;
          while (arrived < 2) std::this_thread::yield();  // so that two threads take part
          const std::lock_guard lock(guard);
          of_thread[std::this_thread::get_id()].insert(&default_buffer());
          of_thread[std::this_thread::get_id()].insert(&default_buffer());
        },
        tbb::simple_partitioner());
  });
  BOOST_TEST(of_thread.size() == 2u);
  std::set<slab_resource*> all;
  for (const auto& [thread, buffers] : of_thread) {
    BOOST_TEST(buffers.size() == 1u);
    all.insert(buffers.begin(), buffers.end());
  }
  BOOST_TEST(all.size() == 2u);
}

BOOST_AUTO_TEST_CASE(replaced_for_the_time_of_a_call) {
  slab_resource* const before = &default_buffer();
  slab_resource other;
  const int result = with_default(other, [&] {
    BOOST_TEST(&default_buffer() == &other);
    return 7;
  });
  BOOST_TEST(result == 7);
  BOOST_TEST(&default_buffer() == before);
}

BOOST_AUTO_TEST_CASE(f_may_take_the_buffer_and_return_a_reference) {
  slab_resource other;
  BOOST_TEST(&with_default(other, [](slab_resource& given) -> slab_resource& { return given; }) == &other);
  with_default(other, [&](auto& given) { BOOST_TEST(&given == &other); });
}

BOOST_AUTO_TEST_CASE(what_takes_both_gets_the_buffer) {
  struct either {
    bool operator()() const { return false; }
    bool operator()(slab_resource&) const { return true; }
  };
  slab_resource buffer;
  BOOST_TEST(with_default(buffer, either{}));
  buffers::thread_resource<> t;
  BOOST_TEST(t.with_buffer(either{}));
}

BOOST_AUTO_TEST_CASE(nested_replacements) {
  slab_resource* const before = &default_buffer();
  slab_resource a, b;
  with_default(a, [&] {
    with_default(b, [&] {
      BOOST_TEST(&default_buffer() == &b);
      with_default(a, [&] { BOOST_TEST(&default_buffer() == &a); });
      BOOST_TEST(&default_buffer() == &b);
    });
    BOOST_TEST(&default_buffer() == &a);
  });
  BOOST_TEST(&default_buffer() == before);
}

BOOST_AUTO_TEST_CASE(put_back_on_an_exception) {
  slab_resource* const before = &default_buffer();
  slab_resource other;
  BOOST_CHECK_THROW(with_default(other, [] { throw std::runtime_error("inside"); }), std::runtime_error);
  BOOST_TEST(&default_buffer() == before);
}

BOOST_AUTO_TEST_CASE(each_type_has_its_own) {
  slab_resource* const slab = &default_buffer();
  bump_resource* const bump = &default_buffer<bump_resource>();
  bump_resource other{100};
  with_default(other, [&] {
    BOOST_TEST(&default_buffer<bump_resource>() == &other);
    BOOST_TEST(&default_buffer() == slab);
  });
  BOOST_TEST(&default_buffer<bump_resource>() == bump);
}

BOOST_AUTO_TEST_CASE(replaced_before_it_was_first_asked_for) {
  std::thread([] {
    slab_resource other;
    with_default(other, [&] { BOOST_TEST(&default_buffer() == &other); });
    BOOST_TEST(&default_buffer() != &other);
    BOOST_TEST(default_buffer().allocate(1) != nullptr);
  }).join();
}

BOOST_AUTO_TEST_CASE(a_replacement_holds_for_one_thread) {
  slab_resource other;
  with_default(other, [&] { std::thread([&] { BOOST_TEST(&default_buffer() != &other); }).join(); });
}

BOOST_AUTO_TEST_CASE(no_escape_without_a_resource) {
  const std::size_t before = default_buffer().used();
  const int sum = no_escape([&](slab_resource& buffer) {
    BOOST_TEST(&buffer == &default_buffer());
    std::pmr::vector<int> numbers({1, 2, 3}, &buffer);
    return numbers[0] + numbers[1] + numbers[2];
  });
  BOOST_TEST(sum == 6);
  BOOST_TEST(default_buffer().used() == before);
  slab_resource other;
  with_default(other, [&] { no_escape([&](auto& buffer) { (void)buffer.allocate(100); }); });
  BOOST_TEST(other.peak() == 100u);
}

BOOST_AUTO_TEST_CASE(an_exception_leaves_a_task_and_its_scope) {
  tbb::task_arena arena(2);
  BOOST_CHECK_THROW(arena.execute([] {
    tbb::parallel_for(0, 10, [](int) { no_escape([](slab_resource& buffer) { (void)buffer.allocate(SIZE_MAX); }); });
  }),
                    std::bad_alloc);
  arena.execute([] { BOOST_TEST(default_buffer().used() == 0u); });
}

BOOST_AUTO_TEST_CASE(thread_local_variables_use_it_in_their_destructors) {
  struct summing {
    std::pmr::vector<int> numbers;
    int& sum;
    bool& is_the_same;
    slab_resource* const mine = &default_buffer();
    ~summing() {
      is_the_same = &default_buffer() == mine;
      numbers.push_back(4);
      for (int number : numbers) sum += number;
    }
  };
  int sum = 0;
  bool is_the_same = false;
  std::thread([&] {
    thread_local std::optional<summing> first;  // destroyed after whatever comes later
    (void)default_buffer();
    first.emplace(std::pmr::vector<int>({1, 2, 3}, &default_buffer()), sum, is_the_same);
  }).join();
  BOOST_TEST(sum == 10);
  BOOST_TEST(is_the_same);
}

BOOST_AUTO_TEST_CASE(destroyed_when_the_thread_ends) {
  static std::atomic<int> alive;
  struct counted : std::pmr::memory_resource {
    counted() { ++alive; }
    counted(const counted&) = delete;
    ~counted() override { --alive; }
    int checkpoint() { return 0; }
    void restore(int) {}
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    }
    void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
      std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  };
  alive = 0;
  int inside = 0, made_again = 0;
  pthread_key_t key;  // its destructor runs when the default buffer has been destroyed
  BOOST_REQUIRE(pthread_key_create(&key, [](void* seen) {
                  (void)default_buffer<counted>();
                  *static_cast<int*>(seen) = alive;
                }) == 0);
  std::thread([&] {
    (void)default_buffer<counted>();
    (void)default_buffer();  // several at once
    inside = alive;
    pthread_setspecific(key, &made_again);
  }).join();
  pthread_key_delete(key);
  BOOST_TEST(inside == 1);
  BOOST_TEST(made_again == 1);
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_SUITE_END()
