#include <boost/test/unit_test.hpp>
#include <thread>
#include <vector>
import buffers;

using buffers::detail::per_thread;

namespace {

struct counting {
  int ended = 0;
  struct slot {
    int value = 0;
  };
  per_thread<slot> slots{*this, [](counting& self, slot&) noexcept { ++self.ended; }};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(per_threads)

BOOST_AUTO_TEST_CASE(the_same_slot_in_one_thread) {
  counting object;
  BOOST_TEST(object.slots.find() == nullptr);
  BOOST_TEST(&object.slots.local() == &object.slots.local());
  for (int i = 0; i < 10; ++i) std::thread([&] { ++object.slots.local().value; }).join();
  BOOST_TEST(object.ended == 10);
  int slots = 0, sum = 0;
  object.slots.for_each([&](counting::slot& slot) { ++slots, sum += slot.value; });
  BOOST_TEST(slots == 2);
  BOOST_TEST(sum == 10);
}

BOOST_AUTO_TEST_SUITE_END()
