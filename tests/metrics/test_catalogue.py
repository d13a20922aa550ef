"""What a report says of a measure."""

from study.metrics.catalogue import MEASURES, described, literal


def test_a_measure_is_shown_with_its_unit_and_a_pure_number_without():
    assert described("likelihood/kl").says == "what the latent carries (nats per image)"
    assert described("modes/classes").says == "classes that make up more than 1 % of the samples"


def test_a_unit_stands_in_its_own_column_only():
    assert not [measure.key for measure in MEASURES if measure.unit and measure.unit in measure.reads.split()]


def test_an_unknown_measure_is_shown_under_its_own_name_with_nothing_said_of_it():
    assert (described("own/loudness").name, described("own/loudness").says) == ("loudness", "")


def test_a_name_can_be_drawn_whatever_bytes_are_in_it():
    assert literal("a\udce9 $x$") == r"a? \$x\$"
