from .checkup import Checkup as Checkup
from .checkup import Extra as Extra
from .checkup import Finding as Finding
from .checkup import examine as examine
