"""Which topic it is, beyond its name: one that was deleted and made anew counts its offsets from 0 again."""

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from schemas.topics import Topic
from services.history.archive_manifest import Source
from services.history.partitions import ANSWER_S, BrokerAway
from services.kafka import TopicMissing, client_config
from services.settings import ServiceSettings


def source_of(settings: ServiceSettings, topic: Topic) -> Source:
    """The topic's full name and Kafka's id of it (KIP-516). Raises BrokerAway, TopicMissing."""
    name = settings.topic(topic)
    admin = AdminClient(client_config(settings) | {"log_level": 0})
    try:
        found = admin.describe_topics(TopicCollection([name]), request_timeout=ANSWER_S)[name].result()
    except KafkaException as error:
        code = error.args[0].code()
        if code in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}:
            raise TopicMissing(name) from None
        raise BrokerAway(
            f"no Kafka broker answers at {settings.kafka_bootstrap} ({error.args[0].str()}): "
            "start it, or set EDDY_KAFKA_BOOTSTRAP"
        ) from None
    return Source(name, str(found.topic_id))
