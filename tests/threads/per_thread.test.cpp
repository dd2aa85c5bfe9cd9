#include <pthread.h>

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/child.hpp"
import buffers;

using buffers::detail::per_thread;

namespace {

/// An object with a number for each thread.
struct counting {
  struct slot {
    int value = 0;
  };

  int slots() const {
    int count = 0;
    numbers.for_each([&](slot&) { ++count; });
    return count;
  }
  int sum() const {
    int total = 0;
    numbers.for_each([&](slot& s) { total += s.value; });
    return total;
  }

  std::atomic<int> ended = 0;
  per_thread<slot> numbers{*this, [](counting& self, slot&) noexcept { ++self.ended; }};
};

void on_thread(auto f) { std::thread(f).join(); }

/// Calls f when the thread ends, as the destructor of a thread_local variable.
struct at_exit_of_locals {
  void (*f)(void*) = nullptr;
  void* argument = nullptr;
  void call(void (*function)(void*), void* with) { f = function, argument = with; }
  ~at_exit_of_locals() {
    if (f != nullptr) f(argument);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(per_threads)

BOOST_AUTO_TEST_CASE(one_slot_in_one_thread) {
  counting object;
  BOOST_TEST(object.numbers.find() == nullptr);
  BOOST_TEST(object.slots() == 0);
  counting::slot* const mine = &object.numbers.local();
  BOOST_TEST(&object.numbers.local() == mine);
  BOOST_TEST(object.numbers.find() == mine);
  BOOST_TEST(object.slots() == 1);
}

BOOST_AUTO_TEST_CASE(another_slot_in_each_thread) {
  counting object;
  constexpr std::size_t threads = 4;
  std::latch all_here(threads);
  std::vector<counting::slot*> found(threads);
  std::vector<std::thread> running;
  for (std::size_t i = 0; i < threads; ++i)
    running.emplace_back([&, i] {
      found[i] = &object.numbers.local();
      found[i]->value = static_cast<int>(i);
      all_here.arrive_and_wait();
    });
  for (std::thread& thread : running) thread.join();
  BOOST_TEST((std::set(found.begin(), found.end()).size()) == threads);
  BOOST_TEST(object.slots() == 4);
  BOOST_TEST(object.sum() == 0 + 1 + 2 + 3);
  BOOST_TEST(object.ended == 4);
}

BOOST_AUTO_TEST_CASE(a_slot_is_at_hand_once_it_was_asked_for) {
  std::optional<counting> object{std::in_place};
  BOOST_TEST(object->numbers.at_hand() == nullptr);
  counting::slot* const mine = &object->numbers.local();
  BOOST_TEST(object->numbers.at_hand() == mine);
  on_thread([&] { BOOST_TEST(object->numbers.at_hand() == nullptr); });
  // Others take its place: it is still there to be found, and at hand when it was asked for again.
  std::vector<std::unique_ptr<counting>> others;
  while (object->numbers.at_hand() != nullptr) {
    others.push_back(std::make_unique<counting>());
    (void)others.back()->numbers.local();
    BOOST_REQUIRE(others.size() < 1000u);
  }
  BOOST_TEST(object->numbers.find() == mine);
  BOOST_TEST(&object->numbers.local() == mine);
  BOOST_TEST(object->numbers.at_hand() == mine);
  object.emplace();
  BOOST_TEST(object->numbers.at_hand() == nullptr);
}

// However many there have been: those of up to 64 objects that live at the same time.
BOOST_AUTO_TEST_CASE(slots_stay_at_hand) {
  std::vector<std::unique_ptr<counting>> objects;
  std::vector<counting::slot*> slots;
  const auto add = [&](std::size_t count) {
    while (objects.size() < count) {
      objects.push_back(std::make_unique<counting>());
      slots.push_back(&objects.back()->numbers.local());
    }
  };
  const auto are_at_hand = [&] {
    for (std::size_t i = 0; i < objects.size(); ++i)
      if (objects[i]->numbers.at_hand() != slots[i]) return false;
    return true;
  };
  add(40);
  BOOST_TEST(are_at_hand());
  for (std::size_t step : {2uz, 3uz, 5uz, 7uz}) {
    for (std::size_t i = 0; i < objects.size(); i += step) {
      std::swap(objects[i], objects.back());
      std::swap(slots[i], slots.back());
      objects.pop_back();
      slots.pop_back();
    }
    for (int i = 0; i < 5; ++i) counting();  // come and go
    add(40);
    BOOST_TEST(are_at_hand());
  }
}

BOOST_AUTO_TEST_CASE(more_objects_than_a_thread_remembers) {
  std::vector<std::unique_ptr<counting>> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(std::make_unique<counting>());
  const auto add = [&](int step) {
    int number = 0;
    for (const auto& object : objects) object->numbers.local().value += step * number++;
  };
  for (int round = 0; round < 3; ++round) add(1);
  on_thread([&] {
    for (int round = 0; round < 3; ++round) add(10);
  });
  int wrong = 0, number = 0;
  for (const auto& object : objects) {
    if (object->numbers.find()->value != 3 * number) ++wrong;
    if (object->slots() != 2 || object->sum() != 33 * number || object->ended != 1) ++wrong;
    ++number;
  }
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(a_new_object_where_an_old_one_was) {
  std::optional<counting> object;
  std::latch used(1), replaced(1);
  int value_on_thread = -1, value_here = -1;
  object.emplace();
  std::thread other([&] {
    object->numbers.local().value = 7;
    used.count_down();
    replaced.wait();
    value_on_thread = object->numbers.local().value;
  });
  object->numbers.local().value = 7;
  used.wait();
  object.emplace();  // the other thread and this one still know where their slots of the old one were
  value_here = object->numbers.local().value;
  replaced.count_down();
  other.join();
  BOOST_TEST(value_here == 0);
  BOOST_TEST(value_on_thread == 0);
  BOOST_TEST(object->ended == 1);
}

BOOST_AUTO_TEST_CASE(an_object_dies_before_its_threads) {
  std::optional<counting> object(std::in_place);
  counting other;
  std::latch used(1), gone(1);
  std::thread thread([&] {
    object->numbers.local();
    other.numbers.local();
    used.count_down();
    gone.wait();
  });
  used.wait();
  object.reset();
  gone.count_down();
  thread.join();
  BOOST_TEST(other.ended == 1);
}

BOOST_AUTO_TEST_CASE(the_slot_of_a_thread_that_ended_is_for_the_next) {
  counting object;
  for (int i = 0; i < 100; ++i) on_thread([&] { object.numbers.local().value += 1; });
  BOOST_TEST(object.ended == 100);
  BOOST_TEST(object.slots() == 1);
  BOOST_TEST(object.sum() == 100);
  object.numbers.local();
  BOOST_TEST(object.slots() == 1);
}

BOOST_AUTO_TEST_CASE(as_many_slots_as_threads_at_the_same_time) {
  counting object;
  for (int round = 0; round < 50; ++round) {
    std::latch all_here(3);
    std::vector<std::thread> running;
    for (int i = 0; i < 3; ++i)
      running.emplace_back([&] {
        object.numbers.local().value += 1;
        all_here.arrive_and_wait();
      });
    for (std::thread& thread : running) thread.join();
  }
  BOOST_TEST(object.slots() == 3);
  BOOST_TEST(object.ended == 150);
  BOOST_TEST(object.sum() == 150);
}

BOOST_AUTO_TEST_CASE(thread_local_variables_use_it_in_their_destructors) {
  counting object;
  int ended_before = -1, value = -1;
  struct context {
    counting& object;
    int &ended_before, &value;
  } seen{object, ended_before, value};
  on_thread([&] {
    thread_local at_exit_of_locals last;
    last.call(
        [](void* argument) {
          auto& in = *static_cast<context*>(argument);
          in.ended_before = in.object.ended;
          in.value = in.object.numbers.local().value;
        },
        &seen);
    object.numbers.local().value = 5;
  });
  BOOST_TEST(ended_before == 0);
  BOOST_TEST(value == 5);
  BOOST_TEST(object.ended == 1);
}

BOOST_AUTO_TEST_CASE(first_used_by_a_destructor_of_a_thread_local_variable) {
  counting object;
  on_thread([&] {
    thread_local at_exit_of_locals last;
    last.call([](void* argument) { static_cast<counting*>(argument)->numbers.local(); }, &object);
  });
  BOOST_TEST(object.ended == 1);
}

BOOST_AUTO_TEST_CASE(used_by_a_destructor_of_a_thread_key) {
  counting object;
  object.numbers.local();
  pthread_key_t key;  // its destructor runs after the one that ends the slots
  BOOST_REQUIRE(pthread_key_create(
                    &key, [](void* argument) { static_cast<counting*>(argument)->numbers.local().value += 1; }) == 0);
  on_thread([&] {
    object.numbers.local().value = 1;
    pthread_setspecific(key, &object);
  });
  pthread_key_delete(key);
  BOOST_TEST(object.ended == 2);
  BOOST_TEST(object.slots() == 2);
  BOOST_TEST(object.sum() == 2);
}

BOOST_AUTO_TEST_CASE(an_end_may_use_another_object) {
  counting upstream;
  struct on_top {
    struct slot {};
    counting& below;
    per_thread<slot> slots{*this, [](on_top& self, slot&) noexcept { self.below.numbers.local().value += 1; }};
  } object{upstream};
  for (int i = 0; i < 10; ++i) on_thread([&] { object.slots.local(); });
  for (int i = 0; i < 10; ++i)
    on_thread([&] {
      object.slots.local();
      upstream.numbers.local();
    });
  BOOST_TEST(upstream.sum() == 20);
  BOOST_TEST(upstream.slots() == 1);
  BOOST_TEST(upstream.ended >= 20);
}

BOOST_AUTO_TEST_CASE(a_slot_that_cannot_be_made) {
  struct failing {
    struct slot {
      explicit slot(failing& of) {
        if (of.fails) throw std::runtime_error("slot");
      }
    };
    bool fails = true;
    int ended = 0;
    per_thread<slot> slots{*this, [](failing& self, slot&) noexcept { ++self.ended; }};
  } object;
  for (int i = 0; i < 3; ++i) BOOST_CHECK_THROW(object.slots.local(), std::runtime_error);
  BOOST_TEST(object.slots.find() == nullptr);
  bool threw = false;
  on_thread([&] {
    try {
      object.slots.local();
    } catch (const std::runtime_error&) {
      threw = true;
    }
  });
  BOOST_TEST(threw);
  BOOST_TEST(object.ended == 0);
  object.fails = false;
  const auto* const mine = &object.slots.local();
  BOOST_TEST(mine == object.slots.find());
}

BOOST_AUTO_TEST_CASE(slots_are_aligned_and_destroyed) {
  static int alive = 0;
  struct alignas(64) slot {
    slot() { ++alive; }
    slot(const slot&) = delete;
    ~slot() { --alive; }
    char bytes[100] = {};
  };
  {
    struct owner {
      per_thread<slot> slots{*this, [](owner&, slot&) noexcept {}};
    } object;
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(&object.slots.local()) % 64 == 0u);
    on_thread([&] { object.slots.local(); });
    BOOST_TEST(alive == 2);
  }
  BOOST_TEST(alive == 0);
}

BOOST_AUTO_TEST_CASE(an_object_waits_for_a_thread_that_is_ending) {
  static std::latch* begun = nullptr;
  static bool is_over = false;
  struct slow {
    struct slot {};
    per_thread<slot> slots{*this, [](slow&, slot&) noexcept {
                             begun->count_down();
                             std::this_thread::sleep_for(std::chrono::milliseconds(50));
                             is_over = true;
                           }};
  };
  std::latch ending(1);
  begun = &ending;  // cppcheck-suppress danglingLifetime ; the thread is joined before it ends
  std::optional<slow> object(std::in_place);
  std::thread thread([&] { object->slots.local(); });
  ending.wait();
  object.reset();
  BOOST_TEST(is_over);
  thread.join();
}

BOOST_AUTO_TEST_CASE(threads_and_objects_end_at_the_same_time) {
  int wrong = 0;
  for (int round = 0; round < 500; ++round) {
    auto first = std::make_unique<counting>(), second = std::make_unique<counting>();
    std::latch used(3);
    std::vector<std::thread> running;
    for (int i = 0; i < 2; ++i)
      running.emplace_back([&] {
        first->numbers.local();
        second->numbers.local();
        used.count_down();
      });
    used.arrive_and_wait();
    first.reset();
    if (round % 2 != 0) {
      for (std::thread& thread : running) thread.join();
      if (second->ended != 2) ++wrong;
    } else {
      second.reset();
      for (std::thread& thread : running) thread.join();
    }
  }
  BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(a_process_forks_while_other_threads_come_and_go) {
  if (!children_may_start_threads) return;
  counting object, unused;
  object.numbers.local().value = 1;
  std::atomic<bool> done = false;
  std::thread coming_and_going([&] {
    while (!done) on_thread([&] { object.numbers.local(); });
  });
  std::thread looking([&] {  // holds the lock for much of the time, and does not allocate: fork() waits for malloc's
    while (!done) (void)unused.numbers.find();
  });
  int failed = 0;
  for (int i = 0; i < 50; ++i) {
    const child ended = run_in_child([&] {
      alarm(5);
      counting own;
      if (own.numbers.local().value != 0 || object.numbers.local().value != 1) std::abort();
      on_thread([&] { object.numbers.local(), own.numbers.local(); });
      if (own.ended != 1) std::abort();
    });
    if (!ended.survived()) ++failed;
  }
  done = true;
  coming_and_going.join();
  looking.join();
  BOOST_TEST(failed == 0);
}

BOOST_AUTO_TEST_SUITE_END()
