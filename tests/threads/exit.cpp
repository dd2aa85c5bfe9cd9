// What is alive at the end of a process: static objects, the main thread's thread_local variables, threads that go on,
// oneTBB's workers. Exit code: 0, where all is used in whatever order, and destroyed or not. And first of all, what
// happens when the system has no more thread keys: it takes a process that has used nothing.
#include <pthread.h>
#include <sys/wait.h>
#include <tbb/parallel_for.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <latch>
#include <memory_resource>
#include <new>
#include <thread>
#include <vector>
import buffers;

namespace {

struct counting {
  struct slot {
    int value = 0;
  };
  buffers::detail::per_thread<slot> numbers{*this, [](counting&, slot&) noexcept {}};
};

struct at_end {
  void (*call)();
  ~at_end() { call(); }
};

void require(bool holds) {
  if (!holds) std::_Exit(1);
}

counting& numbers() {
  static counting object;
  return object;
}
buffers::thread_resource<>& scratch() {
  static buffers::thread_resource<> resource;
  return resource;
}
buffers::concurrent_pool_resource& pool() {
  static buffers::concurrent_pool_resource resource;
  return resource;
}

void use_all() {
  numbers().numbers.local().value += 1;
  std::pmr::vector<int> some({1, 2, 3}, &scratch());
  std::pmr::vector<int> others(1000, &buffers::default_buffer());
  require(some[2] + others[500] == 3);
  std::pmr::vector<int> pooled({1, 2, 3}, &pool());
  require(pooled[2] == 3);
}

// In a child process, as the keys are gone afterwards.
bool is_bad_alloc_without_keys() {
  const pid_t id = fork();
  if (id == 0) {
    std::pmr::memory_resource* const resources[] = {&pool(), &scratch()};  // oneTBB needs a key itself
    pthread_key_t key;
    while (pthread_key_create(&key, nullptr) == 0) {
    }
    const auto must_fail = [](auto use) {
      try {
        use();
      } catch (const std::bad_alloc&) {
        return;
      } catch (...) {
      }
      _exit(1);
    };
    for (std::pmr::memory_resource* const resource : resources)
      must_fail([&] { static_cast<void>(resource->allocate(10)); });
    must_fail([] { static_cast<void>(buffers::default_buffer()); });
    _exit(0);
  }
  int status = 0;
  return waitpid(id, &status, 0) == id && status == 0;
}

// Constructed before the objects above: they are gone when it is destroyed. A thread's default buffer is not.
at_end after_the_objects{[] { require(buffers::alloc<int>(buffers::default_buffer(), 10).size() == 10); }};

}  // namespace

int main() {
  require(is_bad_alloc_without_keys());
  thread_local at_end of_the_thread{use_all};  // before the static objects, and after main
  static_cast<void>(of_the_thread.call);
  use_all();
  static at_end before_the_objects{[] {
    use_all();
    require(numbers().numbers.local().value == 3);
  }};

  static std::pmr::vector<int> numbers_of_the_process({1, 2, 3}, &scratch());
  static std::pmr::vector<int> pooled_numbers_of_the_process({1, 2, 3}, &pool());
  thread_local std::pmr::vector<int> pooled_numbers_of_the_thread({1, 2, 3}, &pool());
  std::thread([] { pooled_numbers_of_the_process.assign(1000, 4); }).join();
  tbb::parallel_for(0, 100, [](int) { use_all(); });
  numbers().numbers.for_each([](counting::slot& slot) { slot.value = 0; });
  numbers().numbers.local().value = 1;

  static std::latch used(1);
  std::thread([] {
    static thread_local at_end never{[] { std::_Exit(2); }};
    static_cast<void>(never.call);
    use_all();
    used.count_down();
    for (;;) std::this_thread::yield();
  }).detach();
  used.wait();
}
